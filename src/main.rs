//! The binary: hands the command line to [`ebbtide::cli`] and exits with its code.

fn main() -> std::process::ExitCode {
    ebbtide::cli::main()
}
