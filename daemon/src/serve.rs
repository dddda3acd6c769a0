//! Not written yet.
pub mod convert;
pub mod grpc;
pub mod http;
