//! The binary: parse arguments, hand over, nothing else.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    shadowprod::cli::main()
}
