//! `opalc fmt`.

use super::world::World;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

const MESSY: &str = "deploy:{\n  echo   a  # why\n\n\n  @retry( 3 ){ b @var(X) }\n}\n";
const NEAT: &str = "deploy: {\n    echo   a  # why\n\n    @retry(3) { b @var.X }\n}\n";

#[test]
fn sources_are_laid_out_in_place_and_keep_their_mode() {
    let world = World::with("a.opl", MESSY);
    world.write("b.opl", "a:  b\n");
    fs::set_permissions(world.path("a.opl"), fs::Permissions::from_mode(0o750)).expect("mode");
    assert_eq!(world.run(&["fmt", "a.opl", "b.opl"]).good(), "");
    assert_eq!(world.read("a.opl"), NEAT.as_bytes());
    assert_eq!(world.read("b.opl"), b"a: b\n");
    assert_eq!(fs::metadata(world.path("a.opl")).expect("there").permissions().mode() & 0o7777, 0o750);
    assert_eq!(world.names(), ["a.opl", "b.opl"]);
}

#[test]
fn a_link_stays_a_link() {
    let world = World::with("real.opl", MESSY);
    symlink("real.opl", world.path("link.opl")).expect("link");
    world.run(&["fmt", "link.opl"]).good();
    assert!(fs::symlink_metadata(world.path("link.opl")).expect("there").is_symlink());
    assert_eq!(world.read("real.opl"), NEAT.as_bytes());
}

#[test]
fn what_is_laid_out_is_not_written_again() {
    let world = World::with("a.opl", NEAT);
    fs::set_permissions(world.path("."), fs::Permissions::from_mode(0o555)).expect("mode");
    let done = world.run(&["fmt", "a.opl"]);
    fs::set_permissions(world.path("."), fs::Permissions::from_mode(0o755)).expect("mode");
    done.good();
    assert_eq!(world.read("a.opl"), NEAT.as_bytes());
}

#[test]
fn a_check_lists_what_would_change_and_writes_nothing() {
    let world = World::with("a.opl", MESSY);
    world.write("b.opl", NEAT);
    world.write("c.opl", "x = 1\r\n");
    let done = world.run(&["fmt", "--check", "a.opl", "b.opl", "c.opl"]);
    assert_eq!(done.status, 1, "{}", done.stderr);
    assert_eq!(done.out(), "a.opl\nc.opl\n");
    assert_eq!(done.stderr, "a.opl:1\n- deploy:{\n+ deploy: {\nc.opl:1\n- x = 1\\r\n+ x = 1\n");
    assert_eq!(world.read("a.opl"), MESSY.as_bytes());
    assert_eq!(world.run(&["fmt", "--check", "b.opl"]).good(), "");
}

#[test]
fn standard_input_goes_to_standard_output() {
    let world = World::with("a.opl", MESSY);
    assert_eq!(world.bash("\"$opalc\" fmt - <a.opl").good(), NEAT);
    assert_eq!(world.bash("\"$opalc\" fmt <a.opl - | \"$opalc\" fmt --check -").good(), "");
    let done = world.bash("\"$opalc\" fmt --check - <a.opl");
    assert_eq!((done.status, done.out().as_str()), (1, "<stdin>\n"));
}

#[test]
fn a_source_that_does_not_parse_stays_as_it_is_and_the_others_are_laid_out() {
    let world = World::with("a.opl", "deploy:   {\n  echo 'a\n}\n");
    world.write("b.opl", MESSY);
    let said = world.run(&["fmt", "a.opl", "b.opl"]).refused(65, "unclosed_quote");
    assert!(said.contains("a.opl:2:"), "{said}");
    assert_eq!(world.read("a.opl"), b"deploy:   {\n  echo 'a\n}\n");
    assert_eq!(world.read("b.opl"), NEAT.as_bytes());
    world.run(&["fmt", "--check", "a.opl"]).refused(65, "unclosed_quote");
    world.bash("\"$opalc\" fmt - <a.opl").refused(65, "unclosed_quote");
}

#[test]
fn a_file_that_is_not_there_and_a_wrong_command_line_are_refused() {
    let world = World::new();
    world.run(&["fmt", "missing.opl"]).refused(66, "file_not_found");
    world.run(&["fmt", "."]).refused(66, "file_not_regular");
    world.run(&["fmt"]).refused(64, "usage");
}

#[test]
fn the_plan_hash_stays() {
    let source = "var X=@env( \"NAME\",default=\"n\" )\ngo: {\n\n\n  echo @var(X)_a   \"@var(X)\" &&\\\n   b\n  cat <<E\n  @var(X)\nE\n for i in 1..3{ run @var(i) } }\n";
    let world = World::with("a.opl", source);
    let before = world.run(&["a.opl", "go", "--hash"]).good();
    world.run(&["fmt", "a.opl"]).good();
    assert_ne!(world.read("a.opl"), source.as_bytes());
    assert_eq!(world.run(&["a.opl", "go", "--hash"]).good(), before);
}
