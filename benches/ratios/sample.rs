//! Sources and contracts to measure with.

use opal_core::plan::Mode;
use opal_format::hash::HashAlgorithm;
use opal_format::identity::Identity;
use opal_format::seed::Seed;
use opal_vm::reality::Host;
use opalc::contract::{Conditions, Manner, Work};
use opalc::lower::{self, Compiled, Entry};
use opalc::source::Source;
use opalc::syntax;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;

/// A script of 100 lines with one of everything that scripts are made of.
pub(crate) fn script() -> String {
    let mut text = String::new();
    for n in 0..10 {
        let _ = write!(
            text,
            "var service{n} = \"api{n}\"\n\
             for region in [\"eu\", \"us\"] {{\n    \
                 echo \"deploying @var.service{n} to @var.region\" | sort\n    \
                 if @var.region == \"eu\" {{\n        \
                     @retry(3, delay=1s) {{ curl --fail \"https://@var.service{n}().example/@env.HOME\" }}\n    \
                 }} else {{\n        \
                     kubectl scale --replicas={n} \"deployment/@var.service{n}\"\n    \
                 }}\n\
             }}\n\
             # the next one\n"
        );
    }
    text
}

/// One loop that unrolls to so many steps.
pub(crate) fn unrolled(steps: usize) -> String {
    format!("for i in 1...{steps} {{\n    echo \"step @var.i of many\"\n}}\n")
}

/// So many lines, each a step of its own.
pub(crate) fn lines(steps: usize) -> String {
    (1..=steps).fold(String::new(), |mut text, step| {
        let _ = writeln!(text, "echo \"step {step} of many\"");
        text
    })
}

/// A command file with so many commands, one a line.
pub(crate) fn commands(count: usize) -> String {
    (1..=count).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "fun command{n}(name = \"world\") = echo \"hello @var.name from {n}\"");
        text
    })
}

/// Compiles a source for its body, or for its first command.
pub(crate) fn compile(text: &str) -> Result<Compiled, Box<dyn Error>> {
    let source = Source::new("bench.opl", text);
    let parsed = syntax::parse(&source);
    if let Some(diagnostic) = parsed.diagnostics.first() {
        return Err(format!("the sample does not parse: {diagnostic:?}").into());
    }
    Ok(lower::compile(&source, &parsed.file, &Entry { target: None, arguments: Vec::new() })?)
}

/// A contract, and what opens it.
pub(crate) struct Sample {
    pub bytes: Vec<u8>,
    pub seed: Seed,
}

/// This host as planning sees it.
pub(crate) fn host() -> Host {
    Host::new(std::env::temp_dir(), &BTreeMap::new())
}

/// Plans a source and writes its contract, signed.
pub(crate) fn contract(text: &str) -> Result<Sample, Box<dyn Error>> {
    let compiled = compile(text)?;
    let identity = Identity::from_secret(&[7; 32], "bench")?;
    let seed = Seed::generate()?;
    let work = Work { program: &compiled.program, target: &compiled.target, arguments: &compiled.arguments };
    let manner = Manner { mode: Mode::Resolve, pass_env: Vec::new(), public_names: Vec::new(), no_public: false, regen_root: None };
    let conditions = Conditions {
        algorithm: HashAlgorithm::Sha256,
        timestamp: 0,
        not_after: None,
        once: false,
        source_name: "bench.opl".to_owned(),
        shell: "/bin/bash".to_owned(),
        umask: 0o022,
        directory: String::new(),
        audience: Vec::new(),
        provenance: "{}".to_owned(),
    };
    let plan = work.plan(&host(), &seed, &manner)?;
    let mut file = work.write(&plan, text.as_bytes(), &manner, &conditions, &seed, &[identity.public()])?;
    file.sign(&identity.signing)?;
    Ok(Sample { bytes: file.to_bytes(), seed })
}

/// A command file of about `size` bytes.
pub(crate) fn of_size(size: usize) -> String {
    let per_command = commands(1_000).len() / 1_000;
    commands(size / per_command)
}
