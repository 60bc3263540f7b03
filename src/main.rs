fn main() -> std::process::ExitCode {
    splitmix_fl::cli::main()
}
