//! Turns shadowprod/v1/*.proto into Rust and a descriptor set, without protoc.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 3] =
    ["shadowprod/v1/finding.proto", "shadowprod/v1/explanation.proto", "shadowprod/v1/finding_service.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=shadowprod");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("shadowprod.v1.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
