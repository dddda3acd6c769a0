//! The gRPC interface of shadowprod: messages, client and server of package `shadowprod.v1`.
//!
//! In: `shadowprod/v1/*.proto`. Out: what prost and tonic make of them. Nothing here is written by hand but
//! this file.
//!
//! A client program needs this crate and tonic:
//! `FindingServiceClient::connect("http://127.0.0.1:50551")`, then `watch_findings`.

/// Encoding and decoding of every message.
pub use prost::Message;

/// Package `shadowprod.v1`.
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/shadowprod.v1.rs"));
}

/// The encoded `google.protobuf.FileDescriptorSet` of `shadowprod.v1` with everything it imports: for
/// reflection and for clients that read messages dynamically.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shadowprod.v1.bin"));

#[cfg(test)]
mod tests {
    use super::Message;
    use prost_types::FileDescriptorSet;

    #[test]
    fn descriptor_set_holds_the_service_and_all_it_imports() {
        let set = FileDescriptorSet::decode(super::FILE_DESCRIPTOR_SET).unwrap();
        let names: Vec<&str> = set.file.iter().map(|f| f.name()).collect();
        assert!(names.contains(&"google/protobuf/timestamp.proto"), "{names:?}");
        let service = set.file.iter().flat_map(|f| &f.service).next().unwrap();
        let methods: Vec<&str> = service.method.iter().map(|m| m.name()).collect();
        let expected = ["ListFindings", "GetFinding", "WatchFindings", "ExplainFinding", "ExplainSubject"];
        assert_eq!((service.name(), methods), ("FindingService", expected.to_vec()));
    }
}
