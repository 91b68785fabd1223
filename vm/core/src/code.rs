//! The table of codes: what a refusal is called, the exit status that it ends with, what it means in a line, and what to do.
//!
//! A code is a public contract: it is never renamed and never reused. The headings of `spec/refusals.md` are this table's, and `opalc explain`
//! knows each of its codes. What is said about a line of a source has a table of its own, in the compiler.

use crate::plan::Cause;
use opal_format::error::FormatError;
use std::fmt;

/// Help where a file is damaged or was not written by Opal.
const MAKE_ANOTHER: &str = "take it again from where it was made, or make a new one: `opalc FILE.opl --resolve -o FILE.plan`";

macro_rules! codes {
    ($($variant:ident $exit:literal $name:literal $title:literal $help:expr;)*) => {
        /// One cause of a refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
            /// A rule of a plan file, or of the program in it, by the rule's own name.
            Rule(&'static str),
            /// What is wrong with a source: by the name of the compiler's table, or of [`Cause`] where there is no plan.
            Source(&'static str),
        }

        impl Code {
            /// Every code of the table, in its order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that messages show: `error[name]`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* Self::Rule(name) | Self::Source(name) => name }
            }

            /// The exit status of the command that ends with it.
            #[must_use]
            pub const fn exit(self) -> u8 {
                match self { $(Self::$variant => $exit,)* Self::Rule(_) | Self::Source(_) => 65 }
            }

            /// One line about it.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                    Self::Rule(_) => "the plan file breaks a rule of its format",
                    Self::Source(_) => "the source gives no plan",
                }
            }

            /// What to do about it, where the refusal has nothing better to say.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self {
                    $(Self::$variant => $help,)*
                    Self::Rule(_) => MAKE_ANOTHER,
                    Self::Source(_) => "correct the source, or what it reads here",
                }
            }
        }
    };
}

impl Code {
    /// The code of the table called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// The code of what the format says of a file: its own, or a rule's.
    #[must_use]
    pub fn of_format(name: &'static str) -> Self {
        Self::from_name(name).unwrap_or(Self::Rule(name))
    }
}

impl From<&FormatError> for Code {
    fn from(error: &FormatError) -> Self {
        Self::of_format(error.code())
    }
}

impl From<&Cause> for Code {
    fn from(cause: &Cause) -> Self {
        Self::Source(cause.code())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

codes! {
    // The command line, and bugs.
    Usage 64 "usage" "a command line that cannot be understood" "`--help` shows what there is";
    Internal 70 "internal" "a bug in opal" "report it with the command that you ran";
    FileNotFound 66 "file_not_found" "there is no such file" "check the name: `ls -l FILE`";
    FileUnreadable 66 "file_unreadable" "a file cannot be read" "check the file and the disk that it is on";

    // Drift.
    EnvChanged 3 "env_changed" "an environment variable is not what the contract was made with" "set it as agreed, or make a new contract and have it reviewed";
    ValueChanged 3 "value_changed" "a value is not what the contract was made with" "find out why, or make a new contract";
    InfraMutated 3 "infra_mutated" "a file or object is not what the contract was made with" "restore it, or make a new contract";
    InfraMissing 3 "infra_missing" "a file or object of the contract is gone" "restore it, or make a new contract";
    StructureChanged 3 "structure_changed" "the plan is not the one that was agreed" "make a new contract from the source, and have it reviewed";
    SourceChanged 3 "source_changed" "the source is not the one that the contract names" "make a new contract from the edited source, or name the old one: `--source FILE`";
    SourceMissing 3 "source_missing" "the source is not here, and the policy wants it" "bring the file that the contract names, or say where it is: `--source FILE`";
    ShownDiffers 3 "shown_differs" "the contract shows its work otherwise than its program gives it" "do not trust who made the contract; make a new one from the source";
    PlannerEnded 69 "planner_ended" "the planner gave no answer that makes sense" "look for what ends processes here (`dmesg`, `ulimit -a`) and try again";
    KeeperEnded 69 "keeper_ended" "the process that holds the keys gave no answer" "look for what ends processes here (`dmesg`, `ulimit -a`) and try again";

    // Trust.
    UntrustedSigner 20 "untrusted_signer" "no signature is by a key that this host trusts" "add the key to allowed_signers if you trust the signer";
    Unsigned 20 "unsigned" "the contract has no signature" "sign it: `opalc sign FILE`";
    SignerOutsideEntry 20 "signer_outside_entry" "the policy does not let the signer sign this contract" "have another principal sign it, or widen the [[signer]] entry in the policy";
    WrongHost 20 "wrong_host" "the contract is for another host" "run it there; or make it for this host too, with `--host KEY`, and have it reviewed";
    ThresholdUnmet 20 "threshold_unmet" "too few people have signed" "have another principal sign it: `opalc sign FILE --key KEY`";
    VouchesUnmet 20 "vouches_unmet" "too few people vouch for the contract" "have somebody who did not sign it vouch: `opalc vouch FILE -o FILE.vouch`, and pass `--vouch FILE.vouch`";
    VouchMismatch 20 "vouch_mismatch" "a vouch is for something else" "`opalc show FILE` says what it is for; leave it out otherwise";
    VouchUnreadable 66 "vouch_unreadable" "the file of a vouch cannot be read" "check it: `ls -l FILE`";
    AttestationTruncated 65 "attestation_truncated" "a vouch or receipt ends too early" "fetch the file again from where it was made";
    AttestationMalformed 65 "attestation_malformed" "a signature holds, of something else than a vouch or receipt" "fetch the file again from where it was made";
    AttestationUnknown 65 "attestation_unknown" "a signature is neither that of a vouch nor that of a receipt" "fetch the file again from where it was made";
    UnexpectedContract 20 "unexpected_contract" "the contract is not the one that was expected" "review it, then pass its hash with `--expect`";
    ContractRevoked 20 "contract_revoked" "this contract is revoked" "make a new contract: this one is in /etc/opal/revoked";
    KeyRevoked 20 "key_revoked" "a key that signed is revoked" "plan and sign again with a key that is not in /etc/opal/revoked";
    SignatureMismatch 20 "signature_mismatch" "a signature does not match the contents" MAKE_ANOTHER;
    SignatureMalformed 20 "signature_malformed" "a signature cannot be read" "have it signed again: `opalc sign FILE`";
    SignatureNamespace 20 "signature_namespace" "a signature was made for another purpose" "have it signed again: `opalc sign FILE`";
    SignatureKey 20 "signature_key" "a signature names a key that is refused" "have it signed again: `opalc sign FILE`";
    SignatureAbsent 20 "signature_absent" "a security key signed without being touched" "have it signed again: `opalc sign FILE`";
    SignatureOrder 20 "signature_order" "signatures are out of order or doubled" "have it signed again: `opalc sign FILE`";
    ContractExpired 21 "contract_expired" "the contract's time is over" "make a new contract: `opalc FILE.opl --resolve -o FILE.plan`";
    ContractFromTheFuture 21 "contract_from_the_future" "the clock of this host is before the contract was made" "set the clock: `date`";
    AlreadyRun 22 "already_run" "a single-use contract has run already" "make a new contract: `opalc FILE.opl --resolve --once -o FILE.plan`";
    PolicyRefused 24 "policy_refused" "the host's policy forbids it" "ask the owner of this host to change the policy, or plan without it";
    OutputNotAllowed 24 "output_not_allowed" "a guarded run writes only where the policy says" "leave it out: results go to standard output";
    UnsafeDirectory 78 "unsafe_directory" "a guarded run would start where somebody else can put files" "start it in a directory to whose path nobody else can write: `cd /`";
    PlanTypeReserved 24 "plan_type_reserved" "a contract of a type that is reserved" "plan without it, or use the version of opal that knows it";
    InfraMissingSeedKeystore 69 "infra_missing:seed_keystore" "no key here opens the contract" "take the file again from where it was made, or make a new one";
    BadTrustFile 78 "bad_trust_file" "a line of a trust file cannot be read" "write `alice namespaces=\"opal-plan\" ssh-ed25519 AAAA…`, or start the line with `#`";
    BadTrustedKey 78 "bad_trusted_key" "a key in a trust file cannot be used" "correct the key, or start the line with `#`";
    RevokedMissing 78 "revoked_missing" "the policy demands a list of what is revoked, and there is none" "bring the latest list, with its signature";
    RevokedUnsigned 78 "revoked_unsigned" "the list of what is revoked is not signed" "bring the latest list, with its signature";
    RevokedSignature 78 "revoked_signature" "the signature is not one of this list of what is revoked" "bring the latest list, with its signature";
    RevokedSigner 78 "revoked_signer" "somebody else has signed the list of what is revoked" "bring the latest list, with its signature";
    RevokedIncomplete 78 "revoked_incomplete" "the list of what is revoked lacks a line that the policy asks for" "bring the latest list, with its signature";
    RevokedExpired 78 "revoked_expired" "the list of what is revoked is too old" "bring the latest list, with its signature";
    RevokedOlder 78 "revoked_older" "a later list of what is revoked was here before" "bring the latest list, with its signature";
    RevokedSerialReused 78 "revoked_serial_reused" "two lists of what is revoked have one serial" "bring the latest list, with its signature";
    RevokedForgotten 78 "revoked_forgotten" "what is remembered of the list of what is revoked cannot be read" "bring the latest list, with its signature";
    SignerEntryUnmatched 78 "signer_entry_unmatched" "an entry of the policy is about nobody" "correct the principal in /etc/opal/policy.toml, or add its line to /etc/opal/allowed_signers";
    BadHostKey 78 "bad_host_key" "the file that says which host this is holds no usable key" "have the owner of this host put one line `ssh-ed25519 AAAA…` into the file";
    NoHostKey 78 "no_host_key" "no key says which host this is" "have the owner of this host make one: `ssh-keygen -A`";
    PolicySyntax 78 "policy_syntax" "the policy is no TOML" "correct /etc/opal/policy.toml; nothing runs until then";
    PolicyUnknownKey 78 "policy_unknown_key" "the policy has a key that does not exist" "correct /etc/opal/policy.toml; nothing runs until then";
    PolicyBadValue 78 "policy_bad_value" "a key of the policy has a value that it cannot have" "correct /etc/opal/policy.toml; nothing runs until then";
    PolicyMissingKey 78 "policy_missing_key" "an entry of the policy lacks a key" "correct /etc/opal/policy.toml; nothing runs until then";
    UnsafeMode 78 "unsafe_mode" "others may write to a file or directory that is believed" "take the rights of others away: `chmod go-w PATH`";
    UnsafeOwner 78 "unsafe_owner" "a file or directory that is believed belongs to somebody else" "give it to the owner that is wanted, or name another place";
    UnsafeLink 78 "unsafe_link" "a symbolic link where a real file is wanted, or one of somebody else's" "name the real place instead: `realpath PATH`";
    UnsafeKind 78 "unsafe_kind" "something else than the file or directory that is wanted" "move it away: `mv PATH PATH.old`";
    UnsafeSize 78 "unsafe_size" "a file that is believed is larger than its kind may be" "check what it is: `ls -l PATH`";
    UnsafePath 78 "unsafe_path" "a path that is not absolute, or leads upwards" "set the variable to an absolute path without `..`";
    SetUserId 78 "set_user_id" "the program has rights that its caller has not" "take the rights away (`chmod ug-s`, `setcap -r`), and start it through sudo";
    NoHome 78 "no_home" "no home directory is set" "`export HOME=DIR`";

    // Keys.
    BadKey 65 "bad_key" "a key file cannot be used" "name a key of the kind that `ssh-keygen -t ed25519` makes";
    BadIdentity 78 "bad_identity" "an identity file cannot be used" "make a new one: `opalc keygen -o FILE`";
    IdentityUnreadable 66 "identity_unreadable" "an identity file cannot be read" "check it: `ls -l FILE`";
    EncryptedIdentity 78 "encrypted_identity" "the private key is encrypted" "use a key without a passphrase, or take it off: `ssh-keygen -p -N '' -f FILE`";
    WrongPassphrase 78 "wrong_passphrase" "the passphrase does not open the key" "try it alone: `ssh-keygen -y -f FILE`";
    Cancelled 130 "cancelled" "you ended it before it was done" "start it again when you are ready";
    TerminalLost 69 "terminal_lost" "the terminal went away while it was asked" "run it on a terminal that stays open";
    BadRecipient 65 "bad_recipient" "a recipient is no key that can be sealed to" "name a public key, or a file with one on each line";
    HostAmbiguous 66 "host_ambiguous" "known_hosts has several keys of the host" "name the file of the key that is meant";
    HostRevoked 66 "host_revoked" "the key of the host is marked as revoked" "find out which key the host has now";
    HostWithoutKey 66 "host_without_key" "known_hosts has no ssh-ed25519 key of the host" "have its /etc/ssh/ssh_host_ed25519_key.pub sent to you, and name that file";
    HostUnknown 66 "host_unknown" "known_hosts does not have the host" "have its /etc/ssh/ssh_host_ed25519_key.pub sent to you, and name that file";
    BadHost 65 "bad_host" "a file for `--host` holds something else than keys" "give a line like `ssh-ed25519 AAAA…`, a file with such (`./web1.pub`), or a name in known_hosts";
    BadRegenRoot 78 "bad_regen_root" "a regen root cannot be used" "make a new one: `opalc keygen --regen-root`";
    NoBareSignature 69 "no_bare_signature" "a security key makes no bare signature" "name an ordinary key: `--key FILE`";
    NoAgent 69 "no_agent" "no ssh-agent is there" "start one, `eval \"$(ssh-agent)\"; ssh-add FILE`, or name the file of the private key";
    KeyNotInAgent 69 "key_not_in_agent" "ssh-agent does not hold the key" "add it: `ssh-add FILE`";
    AgentRefused 69 "agent_refused" "ssh-agent refused to sign" "confirm it where the agent asks, and look at `ssh-add -l`";
    AgentBadSignature 69 "agent_bad_signature" "ssh-agent gave a signature that does not verify" "check the agent: `ssh-add -L`, or name the file of the private key";
    CannotSign 65 "cannot_sign" "the contract takes no further signature" "`opalc show FILE` says who has signed it";

    // Files.
    PlanNotFound 66 "plan_not_found" "there is no such plan file" "check the name: `ls -l FILE`";
    PlanNotRegular 66 "plan_not_regular" "this is no regular file" "name a plan file, or `-` for standard input";
    PlanUnreadable 66 "plan_unreadable" "the plan file cannot be read" "check it: `ls -l FILE`";
    PlanBadMagic 65 "plan_bad_magic" "this is no plan file" "name a file that `opalc FILE.opl --resolve -o FILE.plan` wrote";
    PlanTruncated 65 "plan_truncated" "the plan file ends too early" MAKE_ANOTHER;
    PlanTooLarge 65 "plan_too_large" "the plan file is larger than the limit" MAKE_ANOTHER;
    PlanUnsupportedVersion 65 "plan_unsupported_version" "the plan file is of another version" "use the version of opal that wrote it, or a later one";
    PlanUnknownCritical 65 "plan_unknown_critical" "the plan file restricts itself in a way that this version does not know" "use the version of opal that wrote it, or a later one";
    PlanHashMismatch 65 "plan_hash_mismatch" "the plan hash in the file is not that of its steps" MAKE_ANOTHER;
    PlanNotResolved 65 "plan_not_resolved" "the plan file holds no resolved plan" MAKE_ANOTHER;
    PlanCompressed 65 "plan_compressed" "the plan file claims to be compressed" MAKE_ANOTHER;
    PlanSignedBit 65 "plan_signed_bit" "the header does not say that a signature section follows" MAKE_ANOTHER;
    PlanReservedBits 65 "plan_reserved_bits" "a reserved field is set" MAKE_ANOTHER;
    PlanUnknownNumber 65 "plan_unknown_number" "a field holds a number without a meaning" MAKE_ANOTHER;
    PlanNotUtf8 65 "plan_not_utf8" "a text in the plan file is not UTF-8" MAKE_ANOTHER;
    PlanPadding 65 "plan_padding" "padding is not zero" MAKE_ANOTHER;
    PlanTrailingData 65 "plan_trailing_data" "bytes follow the end of the plan" MAKE_ANOTHER;
    PlanNoTrailer 65 "plan_no_trailer" "the end of the plan file is not that of one" MAKE_ANOTHER;
    PlanSectionFlags 65 "plan_section_flags" "a section has flags that it cannot have" MAKE_ANOTHER;
    PlanDuplicateSection 65 "plan_duplicate_section" "a section stands twice" MAKE_ANOTHER;
    PlanSectionOrder 65 "plan_section_order" "sections are out of order" MAKE_ANOTHER;
    PlanMissingSection 65 "plan_missing_section" "a section is missing" MAKE_ANOTHER;
    PlanArchiveInvalid 65 "plan_archive_invalid" "a section cannot be read" MAKE_ANOTHER;
    PlanCountMismatch 65 "plan_count_mismatch" "two sections disagree about a number" MAKE_ANOTHER;
    PlanEnvelopeMalformed 65 "plan_envelope_malformed" "the sealed part cannot be read" MAKE_ANOTHER;
    PlanSourcesMalformed 65 "plan_sources_malformed" "the list of source files cannot be read" MAKE_ANOTHER;
    PlanAudienceMalformed 65 "plan_audience_malformed" "the list of hosts that the contract is for cannot be read" MAKE_ANOTHER;
    PlanRegenMalformed 65 "plan_regen_malformed" "the sealed keys of lasting values cannot be read" MAKE_ANOTHER;
    Malformed 65 "malformed" "the contract contradicts itself" MAKE_ANOTHER;
    ProgramDiffers 3 "program_differs" "the source does not compile to the contract's program" "make a new contract from the source that is here";
    FileNotRegular 66 "file_not_regular" "this is a directory, a pipe or a device" "name a file, or `-` to read from a pipe";
    FileTooLarge 65 "file_too_large" "a file is larger than its kind may be" "check what it is: `file FILE`";
    FileExists 74 "file_exists" "the file is there already and is not overwritten" "name another file with `-o FILE`";
    BadEnvFile 65 "bad_env_file" "a line of a file for `--env-file` cannot be read" "write `NAME=value` on a line of its own";
    CannotRead 78 "cannot_read" "a file cannot be read" "check it: `namei -l PATH`";
    CannotWrite 74 "cannot_write" "something cannot be written" "check the directory and the space there";
    BrokenPipe 141 "broken_pipe" "nobody reads the output any more" "let the reader read to the end";
    SourceUnreadable 66 "source_unreadable" "the source is here and cannot be read" "check it: `ls -l FILE`";

    // The host.
    NoCommands 66 "no_commands" "there is no commands.opl here or above" "write one: `echo 'hello: echo hello' > commands.opl`; or name a file: `opal ./FILE.opl`";
    MissingShell 69 "missing_shell" "there is no bash in PATH" "install bash, or add its directory to `PATH`";
    ShellMissing 69 "shell_missing" "the shell that the contract names is not here" "install it there, or make a contract for the shell that is here";
    NoCurrentDirectory 66 "no_current_directory" "the current directory is not usable" "`cd` to a directory that exists";
    NoBaseDirectory 66 "no_base_directory" "the current directory is not usable" "`cd` to a directory that exists";
    DirectoryUnusable 69 "directory_unusable" "the directory that the work starts in cannot be entered" "look at it: `namei -l DIR`";
    DirectoryMissing 69 "directory_missing" "the directory that the work starts in is not here" "make it, or make the contract anew";
    NoRandom 69 "no_random" "the system gives no random bytes" "check that `/dev/urandom` can be read here";
    NoProc 69 "no_proc" "/proc is not there" "mount it: `mount -t proc proc /proc`";
    NoThread 69 "no_thread" "the system starts no thread" "look at `ulimit -a`";
    System 69 "system" "the operating system refused something that every run needs" "look at `ulimit -a`";
    NoTerminal 64 "no_terminal" "there is no terminal to ask or to show a value on" "run it on a terminal";
    KeyListed 24 "key_listed" "a block may read a private key of its user" "list narrower places; programs and libraries of the system can be read anyway";
    MissingTerminal 69 "missing_terminal" "there is no terminal for a `@tty` block" "run it with `opal` on a terminal, in the foreground";
    TtyInContract 65 "tty_in_contract" "a contract may not lend a terminal" "run it directly, `opal TARGET`; or take what is inside out of the block";
    CannotMakeContract 65 "cannot_make_contract" "the plan does not fit into a contract" "split the work into several contracts";
    ArgumentNotScalar 65 "argument_not_scalar" "an argument of the contract is an Array or a Map" "make the contract again";
    ArgumentNotText 65 "argument_not_text" "an argument of the contract is no text" "make the contract again";

    // Runs.
    StepFailed 1 "step_failed" "a step failed" "correct what the step says, then go on with the run: `--resume latest`";
    NotEvaluated 1 "not_evaluated" "what a step wrote could not be put through its pipeline" "have it write less, or use an expression that is simpler";
    LockHeld 75 "lock_held" "the same work is being run already" "wait until that run and all its processes have ended";
    LockUnusable 74 "lock_unusable" "the place for locks cannot be used" "correct the directory that the message names";
    LedgerUnusable 74 "ledger_unusable" "the place where single-use contracts are counted cannot be used" "correct the directory that the message names";
    LedgerDamaged 74 "ledger_damaged" "an entry about a single-use contract cannot be read" "find out whether the contract ran, then make a new one";
    ReceiptUnusable 74 "receipt_unusable" "a receipt cannot be begun" "name another file with `--receipt FILE`, in a directory that can be written";
    ReceiptLost 74 "receipt_lost" "the receipt of a run cannot be finished" "see that the disk has room and that nobody takes the name of the file";
    RecordUnusable 74 "record_unusable" "the record of the run cannot be made" "name another place with `--record DIR`, or keep none with `--record none`";
    RecordLost 74 "record_lost" "the record of the run cannot be written any more" "make room where records are kept, or name another place with `--record DIR`, before the next run";
    RecordForeign 78 "record_foreign" "the record belongs to somebody else" "go on with it as the user who started it";
    RecordTampered 65 "record_tampered" "the record is not as the run wrote it" "do not trust this record; find out what was done, and run the contract anew";
    OutputLost 74 "output_lost" "the output of a step cannot be passed on" "see that standard output and error have room and a reader, or send them to a file";
    NoRecord 66 "no_record" "there is no such record" "`ls -t ~/.local/state/opal/runs` lists the runs, the latest first";
    RecordOfAnother 64 "record_of_another" "the record is of another contract" "give the run of this contract; `--resume latest` finds it";
    RecordOfDirectRun 64 "record_of_direct_run" "a direct run cannot be resumed" "begin again, or make a contract";
    RunFinished 64 "run_finished" "the run has ended already" "run the contract again without `--resume`";
    OtherDirectory 64 "other_directory" "the run was started in another directory" "`cd` to the directory that the message names";
    StepUnknown 64 "step_unknown" "nobody knows whether a step took effect" "find out what the step did; if it can be run again, add `--rerun-unknown`";
    BindingSkipped 64 "binding_skipped" "a step needs a value of a step that is skipped" "begin earlier with `--from`";
    UnsupportedBlock 69 "unsupported_block" "the plan has a block that this version cannot run" "use a later version of opal";
    Unenforceable 69 "unenforceable" "this host cannot confine what an `@isolated` block confines" "run it on Linux 6.2 or later with Landlock and seccomp switched on; `opal-vm inspect` shows what this host can enforce";
}
