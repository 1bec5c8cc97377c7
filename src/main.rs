//! `torch`, the program: see the library for all of it.

fn main() -> std::process::ExitCode {
    rustls::crypto::ring::default_provider().install_default().expect("nobody installed another provider");
    torch::cli::run()
}
