//! A walk over every span and every reference of a tree.

use crate::{
    ast::{
        AndOr, Argument, Arguments, Block, Call, Decorator, Definition, Expression, ExpressionKind, File, Identifier, Item, Operand,
        Operators, Pattern, PatternKind, Piped, Pipeline, PipelineSource, Reference, Segment, SegmentKind, ShellPart, ShellText, Statement,
        StatementKind, StringPart,
    },
    span::Span,
};

/// What the walk meets. A reference comes before its parts.
pub(super) enum Visit<'a> {
    Span(&'a mut Span),
    Reference(&'a mut Reference),
}

type Visitor<'v> = &'v mut dyn FnMut(Visit<'_>);

pub(super) fn visit_file(file: &mut File, visit: Visitor<'_>) {
    for item in &mut file.items {
        match item {
            Item::Definition(definition) => visit_definition(definition, visit),
            Item::Statement(statement) => visit_statement(statement, visit),
        }
    }
    for comment in &mut file.comments {
        visit(Visit::Span(&mut comment.span));
    }
}

fn visit_name(name: &mut Identifier, visit: Visitor<'_>) {
    visit(Visit::Span(&mut name.span));
}

fn visit_definition(definition: &mut Definition, visit: Visitor<'_>) {
    visit(Visit::Span(&mut definition.span));
    visit_name(&mut definition.name, visit);
    for parameter in &mut definition.parameters {
        visit(Visit::Span(&mut parameter.span));
        visit_name(&mut parameter.name, visit);
        if let Some(annotation) = &mut parameter.annotation {
            visit(Visit::Span(&mut annotation.span));
        }
        if let Some(default) = &mut parameter.default {
            visit_expression(default, visit);
        }
    }
    visit_block(&mut definition.body, visit);
}

fn visit_block(block: &mut Block, visit: Visitor<'_>) {
    visit(Visit::Span(&mut block.span));
    for statement in &mut block.statements {
        visit_statement(statement, visit);
    }
}

fn visit_statement(statement: &mut Statement, visit: Visitor<'_>) {
    visit(Visit::Span(&mut statement.span));
    match &mut statement.kind {
        StatementKind::Var(var) => {
            for binding in &mut var.bindings {
                visit(Visit::Span(&mut binding.span));
                visit_name(&mut binding.name, visit);
                visit_expression(&mut binding.value, visit);
            }
        }
        StatementKind::Assign(assignment) => {
            visit_name(&mut assignment.target, visit);
            visit_expression(&mut assignment.value, visit);
        }
        StatementKind::If(choice) => {
            for branch in &mut choice.branches {
                visit(Visit::Span(&mut branch.header));
                visit_expression(&mut branch.condition, visit);
                visit_block(&mut branch.body, visit);
            }
            visit_blocks([&mut choice.otherwise], visit);
        }
        StatementKind::For(each) => {
            visit(Visit::Span(&mut each.header));
            for axis in &mut each.axes {
                visit_name(&mut axis.name, visit);
                visit_expression(&mut axis.collection, visit);
            }
            visit_block(&mut each.body, visit);
        }
        StatementKind::While(each) => {
            visit(Visit::Span(&mut each.header));
            visit_expression(&mut each.condition, visit);
            visit_block(&mut each.body, visit);
        }
        StatementKind::When(when) => {
            visit(Visit::Span(&mut when.header));
            visit_expression(&mut when.subject, visit);
            for arm in &mut when.arms {
                visit(Visit::Span(&mut arm.span));
                visit_pattern(&mut arm.pattern, visit);
                visit_block(&mut arm.body, visit);
            }
        }
        StatementKind::Try(guarded) => {
            visit_block(&mut guarded.body, visit);
            visit_blocks([&mut guarded.catch, &mut guarded.finally], visit);
        }
        StatementKind::Decorator(decorator) => visit_decorator(decorator, visit),
        StatementKind::Call(call) => visit_call(call, visit),
        StatementKind::Sleep(sleep) => {
            visit(Visit::Span(&mut sleep.span));
            visit_arguments(&mut sleep.arguments, visit);
        }
        StatementKind::Shell(shell) => visit_shell(&mut shell.text, visit),
        StatementKind::Binding(binding) => {
            visit_name(&mut binding.name, visit);
            visit_shell(&mut binding.text, visit);
        }
        StatementKind::Operators(operators) => visit_operators(operators, visit),
        StatementKind::Pipeline(pipeline) => visit_pipeline(pipeline, visit),
    }
}

fn visit_blocks<const N: usize>(blocks: [&mut Option<Block>; N], visit: Visitor<'_>) {
    for block in blocks.into_iter().flatten() {
        visit_block(block, visit);
    }
}

fn visit_pattern(pattern: &mut Pattern, visit: Visitor<'_>) {
    visit(Visit::Span(&mut pattern.span));
    if let PatternKind::AnyOf(patterns) = &mut pattern.kind {
        for pattern in patterns {
            visit_pattern(pattern, visit);
        }
    }
}

fn visit_decorator(decorator: &mut Decorator, visit: Visitor<'_>) {
    visit(Visit::Span(&mut decorator.header));
    visit_name(&mut decorator.name, visit);
    if let Some(arguments) = &mut decorator.arguments {
        visit_arguments(arguments, visit);
    }
    visit_blocks([&mut decorator.block], visit);
}

fn visit_call(call: &mut Call, visit: Visitor<'_>) {
    visit(Visit::Span(&mut call.span));
    visit_name(&mut call.name, visit);
    if let Some(arguments) = &mut call.arguments {
        visit_arguments(arguments, visit);
    }
}

fn visit_operators(operators: &mut Operators, visit: Visitor<'_>) {
    visit(Visit::Span(&mut operators.span));
    for AndOr { span, first, rest } in &mut operators.sequence {
        visit(Visit::Span(span));
        let rest = rest.iter_mut().map(|(_, piped)| piped);
        for Piped { span, operands } in std::iter::once(first).chain(rest) {
            visit(Visit::Span(span));
            for operand in operands {
                match operand {
                    Operand::Shell(shell) => visit_shell(&mut shell.text, visit),
                    Operand::Call(call) => visit_call(call, visit),
                    Operand::Sleep(sleep) => {
                        visit(Visit::Span(&mut sleep.span));
                        visit_arguments(&mut sleep.arguments, visit);
                    }
                    Operand::Decorator(decorator) => visit_decorator(decorator, visit),
                }
            }
        }
    }
}

fn visit_pipeline(pipeline: &mut Pipeline, visit: Visitor<'_>) {
    visit(Visit::Span(&mut pipeline.span));
    match &mut pipeline.source {
        PipelineSource::Shell(shell) => visit_shell(&mut shell.text, visit),
        PipelineSource::Operators(operators) => visit_operators(operators, visit),
    }
    for operation in &mut pipeline.operations {
        visit(Visit::Span(&mut operation.span));
        visit(Visit::Span(&mut operation.name_span));
        visit_arguments(&mut operation.arguments, visit);
    }
}

fn visit_shell(text: &mut ShellText, visit: Visitor<'_>) {
    visit(Visit::Span(&mut text.span));
    for part in &mut text.parts {
        match part {
            ShellPart::Text { span, .. } => visit(Visit::Span(span)),
            ShellPart::Reference(reference) => visit_reference(&mut reference.reference, visit),
        }
    }
    for command in &mut text.commands {
        visit(Visit::Span(&mut command.span));
    }
    for variable in &mut text.variables {
        visit(Visit::Span(&mut variable.span));
    }
}

fn visit_arguments(arguments: &mut Arguments, visit: Visitor<'_>) {
    visit(Visit::Span(&mut arguments.span));
    for Argument { span, name, value } in &mut arguments.items {
        visit(Visit::Span(span));
        if let Some(name) = name {
            visit_name(name, visit);
        }
        visit_expression(value, visit);
    }
}

fn visit_reference(reference: &mut Reference, visit: Visitor<'_>) {
    visit(Visit::Reference(reference));
    visit(Visit::Span(&mut reference.span));
    visit_name(&mut reference.namespace, visit);
    visit_path(&mut reference.path, visit);
    if let Some(options) = &mut reference.options {
        visit_arguments(options, visit);
    }
    visit_path(&mut reference.tail, visit);
}

fn visit_path(path: &mut [Segment], visit: Visitor<'_>) {
    for segment in path {
        visit(Visit::Span(&mut segment.span));
        if let SegmentKind::Computed(expression) = &mut segment.kind {
            visit_expression(expression, visit);
        }
    }
}

fn visit_expression(expression: &mut Expression, visit: Visitor<'_>) {
    visit(Visit::Span(&mut expression.span));
    match &mut expression.kind {
        ExpressionKind::Int(_) | ExpressionKind::Float(_) | ExpressionKind::Bool(_) | ExpressionKind::Duration(_) => {}
        ExpressionKind::String(literal) => {
            for part in &mut literal.parts {
                match part {
                    StringPart::Text { span, .. } => visit(Visit::Span(span)),
                    StringPart::Reference(reference) => visit_reference(reference, visit),
                }
            }
        }
        ExpressionKind::Array(items) => {
            for item in items {
                visit_expression(item, visit);
            }
        }
        ExpressionKind::Map(entries) => {
            for entry in entries {
                visit_name(&mut entry.key, visit);
                visit_expression(&mut entry.value, visit);
            }
        }
        ExpressionKind::Name(name) => {
            visit_name(&mut name.name, visit);
            visit_path(&mut name.path, visit);
        }
        ExpressionKind::Reference(reference) => visit_reference(reference, visit),
        ExpressionKind::Unary(_, operand) => visit_expression(operand, visit),
        ExpressionKind::Binary(binary) => {
            visit(Visit::Span(&mut binary.operator_span));
            visit_expression(&mut binary.left, visit);
            visit_expression(&mut binary.right, visit);
        }
        ExpressionKind::Range(bounds) => {
            visit_expression(&mut bounds.0, visit);
            visit_expression(&mut bounds.1, visit);
        }
        ExpressionKind::Convert(convert) => {
            visit(Visit::Span(&mut convert.name_span));
            visit_expression(&mut convert.value, visit);
        }
    }
}
