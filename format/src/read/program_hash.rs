//! The digest of a program: what names its instructions and what they refer to, whatever source they stand in (spec/plan-format.md, "program").
//!
//! It covers every table but source positions. Spans, headers, and names of functions and variables are left out, since nothing is decided by them;
//! texts count by their bytes, not by where they stand in the pool. So two compilers that lower alike give one digest for one program.

use crate::crypto::hash::{Canonical, Digest, HashAlgorithm};
use crate::read::program::ProgramView;
use crate::read::record::{Range, TextRef};

/// Computes the digest, in time linear in the tables and the text that they refer to: SHA-256, whatever the algorithm of a contract. A text that leaves
/// the pool, which no verified program has, counts as empty.
#[must_use]
pub fn program_hash(program: &ProgramView<'_>) -> Digest {
    let mut hash = Canonical::new(HashAlgorithm::Sha256, "v1/program");
    hash.u32(program.instruction_set).u32(program.entry);
    let text = |hash: &mut Canonical, text: TextRef| _ = hash.bytes(text.of(program.text).unwrap_or_default());
    // Ranges follow one another, so that counts say all of them.
    let count = |hash: &mut Canonical, range: Range| _ = hash.u32(range.count.to_native());
    hash.length(program.constants.len());
    for constant in program.constants {
        hash.u8(constant.value_type).i64(constant.scalar.to_native());
        text(&mut hash, constant.text);
    }
    hash.length(program.imports.len());
    for import in program.imports {
        hash.u32(import.decorator.to_native().into()).u32(import.flags.to_native().into());
        count(&mut hash, import.args);
    }
    hash.length(program.import_args.len());
    for argument in program.import_args {
        hash.u8(argument.param).u8(argument.computed).u32(argument.constant.to_native());
    }
    hash.length(program.nodes.len());
    for node in program.nodes {
        hash.u32(node.kind.to_native().into());
        count(&mut hash, node.params);
    }
    hash.bytes(program.params).length(program.templates.len());
    for template in program.templates {
        count(&mut hash, template.parts);
        text(&mut hash, template.name());
    }
    hash.length(program.template_parts.len());
    for part in program.template_parts {
        hash.u8(part.kind).u8(part.position).u8(part.alone);
        text(&mut hash, part.text);
    }
    hash.length(program.functions.len());
    for function in program.functions {
        count(&mut hash, function.code);
        hash.u32(function.params.to_native().into()).u32(function.locals.to_native().into()).u8(function.kind);
    }
    hash.length(program.globals.len());
    for global in program.globals {
        hash.u32(global.init.to_native());
    }
    hash.length(program.blocks.len());
    for block in program.blocks {
        hash.u32(block.target.to_native()).u32(block.variable.to_native().into()).u32(block.flags.to_native().into());
        count(&mut hash, block.assigns);
    }
    hash.length(program.variables.len());
    for variable in program.variables {
        hash.u32(variable.index.to_native()).u8(variable.global);
    }
    hash.length(program.code.len());
    for instruction in program.code {
        hash.u8(instruction.op).u8(instruction.a).u32(instruction.b.to_native().into()).u32(instruction.c.to_native());
    }
    hash.finish()
}
