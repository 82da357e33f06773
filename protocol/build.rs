//! Generates the messages, and with the feature `service` the client and the server, from
//! `latchkey.proto`. protox compiles the file in Rust, so that nobody has to install protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTO: &str = "proto/latchkey.proto";
    println!("cargo::rerun-if-changed={PROTO}");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    let service = std::env::var_os("CARGO_FEATURE_SERVICE").is_some();
    tonic_prost_build::configure()
        .build_client(service)
        .build_server(service)
        .bytes(".latchkey.v1.Batch")
        .compile_fds(descriptors)?;
    Ok(())
}
