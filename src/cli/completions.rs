//! `torch completions`: what a shell needs to complete the command line.

use clap_complete::Shell;

use super::text::{Unwritable, print_raw};

const EXAMPLES: &str = "\
Examples:
  source <(torch completions bash)
  torch completions zsh >\"${fpath[1]}/_torch\"
  torch completions fish >~/.config/fish/completions/torch.fish";

/// What `torch completions` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl CompletionsArgs {
    /// Prints the completions of a command line.
    ///
    /// # Errors
    /// Where standard output cannot be written.
    pub fn print(&self, command: clap::Command) -> Result<(), Unwritable> {
        print_raw(&self.script(command))
    }

    fn script(&self, mut command: clap::Command) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "torch", &mut script);
        script
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_completes_the_commands() {
        for &shell in Shell::value_variants() {
            let command = clap::Command::new("torch").subcommand(clap::Command::new("some-command"));
            let script = String::from_utf8(CompletionsArgs { shell }.script(command)).unwrap();
            assert!(script.contains("torch") && script.contains("some-command"), "{shell}: {script}");
        }
    }
}
