//! Which word of a command is a program for a second interpreter (`sh -c '…'`, `ssh host '…'`, `awk '…'`).

/// What is known after the words read so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Interpreter {
    /// Nothing.
    #[default]
    None,
    /// A program was named whose program text follows one of these options.
    AfterOption {
        name: String,
        options: &'static [&'static str],
    },
    /// `awk`, `sed`, `jq`: the first word that is no option is the program.
    FirstWord {
        name: String,
        with_value: &'static [&'static str],
    },
    /// The value of an option comes first.
    SkipOne {
        name: String,
        with_value: &'static [&'static str],
    },
    /// `ssh`: the first word that is no option is the host, the rest is a program.
    AfterHost {
        name: String,
        with_value: &'static [&'static str],
    },
    SkipOneBeforeHost {
        name: String,
        with_value: &'static [&'static str],
    },
    /// The next word is the program.
    Next(String),
    /// Every further word is.
    Rest(String),
}

const SHELLS: [&str; 8] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "busybox"];
const SSH_OPTIONS: &[&str] =
    &["-B", "-b", "-c", "-D", "-E", "-e", "-F", "-I", "-i", "-J", "-L", "-l", "-m", "-O", "-o", "-P", "-p", "-Q", "-R", "-S", "-W", "-w"];

/// Whether the word names a shell, or a program that starts one for its text.
pub(super) fn is_shell(word: &str) -> bool {
    let base = word.rsplit('/').next().unwrap_or(word);
    base != "fish" && SHELLS.contains(&base) || matches!(base, "su" | "runuser" | "script" | "flock" | "watch")
}

fn named(word: &str) -> Option<Interpreter> {
    let base = word.rsplit('/').next().unwrap_or(word);
    let name = base.to_owned();
    if SHELLS.contains(&base) || matches!(base, "su" | "runuser" | "psql" | "script" | "flock") {
        return Some(Interpreter::AfterOption { name, options: &["-c", "--command"] });
    }
    if base == "python" || base.starts_with("python3") || base.starts_with("python2") {
        return Some(Interpreter::AfterOption { name, options: &["-c"] });
    }
    match base {
        "perl" | "ruby" => Some(Interpreter::AfterOption { name, options: &["-e", "-E"] }),
        "node" | "deno" | "bun" => Some(Interpreter::AfterOption { name, options: &["-e", "-p", "--eval", "--print"] }),
        "php" => Some(Interpreter::AfterOption { name, options: &["-r"] }),
        "lua" | "osascript" | "Rscript" => Some(Interpreter::AfterOption { name, options: &["-e"] }),
        "mysql" | "mariadb" => Some(Interpreter::AfterOption { name, options: &["-e", "--execute"] }),
        "mongosh" | "mongo" => Some(Interpreter::AfterOption { name, options: &["--eval"] }),
        "awk" | "gawk" | "mawk" | "nawk" => {
            Some(Interpreter::FirstWord { name, with_value: &["-F", "-v", "-f", "--assign", "--field-separator"] })
        }
        "sed" | "gsed" => Some(Interpreter::FirstWord { name, with_value: &["-f", "-l"] }),
        "jq" | "yq" => Some(Interpreter::FirstWord { name, with_value: &["-f", "--indent", "-L"] }),
        "watch" => Some(Interpreter::FirstWord { name, with_value: &["-n", "--interval"] }),
        "ssh" | "autossh" => Some(Interpreter::AfterHost { name, with_value: SSH_OPTIONS }),
        _ => None,
    }
}

impl Interpreter {
    /// The interpreter whose program the word that starts now is.
    pub(super) fn current(&self) -> Option<&str> {
        match self {
            Self::Next(name) | Self::Rest(name) => Some(name),
            // Options can follow, so the word may turn out to be one; a value in it is then harmless but rare.
            Self::FirstWord { name, .. } => Some(name),
            _ => None,
        }
    }

    /// After a word; `None` if it is not constant.
    pub(super) fn advance(self, word: Option<&str>) -> Self {
        let text = word.unwrap_or("");
        match self {
            Self::None => word.and_then(named).unwrap_or(Self::None),
            Self::AfterOption { name, options } => {
                let short = |option: &&str| option.len() == 2 && text.starts_with('-') && !text.starts_with("--");
                let grouped = |option: &&str| short(option) && text.ends_with(&option[1..]);
                if options.contains(&text) || options.iter().any(grouped) {
                    return Self::Next(name);
                }
                // `su -c`, `bash script`: other words do not end the search, but may name another interpreter.
                word.and_then(named).unwrap_or(Self::AfterOption { name, options })
            }
            Self::FirstWord { name, with_value } if with_value.contains(&text) => Self::SkipOne { name, with_value },
            Self::FirstWord { name, .. } if matches!(text, "-e" | "--expression") => Self::Next(name),
            Self::FirstWord { name, with_value } if text.starts_with('-') => Self::FirstWord { name, with_value },
            // `jq --arg name value`: both words are data.
            Self::SkipOne { name, with_value } => Self::FirstWord { name, with_value },
            Self::AfterHost { name, with_value } if with_value.contains(&text) => Self::SkipOneBeforeHost { name, with_value },
            Self::AfterHost { name, with_value } if text.starts_with('-') => Self::AfterHost { name, with_value },
            Self::AfterHost { name, .. } => Self::Rest(name),
            Self::SkipOneBeforeHost { name, with_value } => Self::AfterHost { name, with_value },
            Self::Rest(name) => Self::Rest(name),
            Self::FirstWord { .. } | Self::Next(_) => Self::None,
        }
    }
}
