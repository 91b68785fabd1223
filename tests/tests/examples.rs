//! Every example is planned, verified and run, with stand-ins for the real tools that note how they were called.

use opal_tests::{Host, root};

fn host(example: &str) -> (Host, String) {
    let mut host = Host::new();
    host.set("REGISTRY_TOKEN", "a-token-nobody-knows").set("DATABASE_URL", "postgres://app:hunter22@db/app");
    let text = std::fs::read_to_string(root().join("examples").join(example)).expect("the example");
    let name = example.rsplit('/').next().expect("a name").to_owned();
    // A command of its own makes this run different work from the same example in another test.
    host.write(&name, host.named(&format!("{text}\nsite: echo SITE\n")));
    (host, name)
}

/// Plans a target and runs the contract. Gives the exit status of the run.
fn run(host: &Host, source: &str, target: &[&str]) -> i32 {
    let mut arguments = vec![source];
    arguments.extend_from_slice(target);
    arguments.extend_from_slice(&["--resolve", "-o", "example.plan"]);
    host.opalc(&arguments).expect(0);
    host.vm(&["verify", "--plan", "example.plan"]).expect(0);
    assert!(host.calls().is_empty(), "nothing runs before `run`");
    let ended = host.vm(&["run", "--plan", "example.plan"]);
    for output in [&ended.stdout, &ended.stderr] {
        assert!(!output.contains("a-token-nobody-knows") && !output.contains("hunter22"), "{output}");
    }
    ended.status
}

#[test]
fn the_web_deployment_rolls_out_every_service() {
    let (mut host, source) = host("web/deploy.opl");
    let version = host.named("SITE");
    host.set("ENVIRONMENT", "production").set("APP_VERSION", &version).set("REPLICAS", "3");
    assert_eq!(run(&host, &source, &["deploy"]), 0);
    let mut expected = vec!["registry login --password-stdin registry.example.com".to_owned()];
    for service in ["api", "worker", "ui"] {
        expected.extend([
            format!("kubectl apply -f k8s/{service}/"),
            format!("kubectl set image deployment/{service} app=registry.example.com/{service}:{version}"),
            format!("kubectl scale --replicas=3 deployment/{service}"),
            format!("kubectl rollout status deployment/{service}"),
        ]);
    }
    let calls = host.calls();
    let (steps, rest) = calls.split_at(expected.len());
    assert_eq!(steps, expected);
    let mut checks = rest.to_vec();
    assert_eq!(checks.pop().as_deref(), Some("registry logout registry.example.com"));
    checks.sort();
    assert_eq!(checks, ["curl -fsS https://api.example.com/healthz", "curl -fsS https://ui.example.com/healthz"]);
}

#[test]
fn a_failed_web_deployment_is_rolled_back_and_cleaned_up() {
    let (mut host, source) = host("web/deploy.opl");
    let version = host.named("SITE");
    host.set("ENVIRONMENT", "staging").set("APP_VERSION", &version).set("RECORD_FAIL", "rollout status deployment/worker");
    assert_eq!(run(&host, &source, &["deploy"]), 1);
    let calls = host.calls();
    let end: Vec<&str> = calls.iter().rev().take(4).map(String::as_str).collect();
    assert_eq!(
        end,
        [
            "registry logout registry.example.com",
            "kubectl rollout undo deployment/ui",
            "kubectl rollout undo deployment/worker",
            "kubectl rollout undo deployment/api",
        ]
    );
    assert!(!calls.iter().any(|call| call.contains("deployment/ui app=")), "nothing starts after the failure");
}

#[test]
fn the_web_deployment_to_development_is_one_command() {
    let (mut host, source) = host("web/deploy.opl");
    let version = host.named("SITE");
    host.set("APP_VERSION", &version);
    assert_eq!(run(&host, &source, &["deploy"]), 0);
    assert_eq!(host.calls(), ["registry login --password-stdin registry.example.com", "kubectl apply -f k8s/dev/"]);
}

#[test]
fn the_migration_backs_up_and_applies_every_file() {
    let (mut host, source) = host("database/migrate.opl");
    let bucket = host.named("SITE");
    host.set("BACKUP_BUCKET", &bucket);
    assert_eq!(run(&host, &source, &["migrate"]), 0);
    let calls = host.calls();
    assert_eq!(calls[0], "pg_dump postgres://app:hunter22@db/app");
    assert!(calls[1].starts_with("aws s3 cp backup-") && calls[1].ends_with(&format!("s3://{bucket}/")), "{calls:?}");
    assert!(
        calls[2].contains("--file=migrations/001-add-users.sql") && calls[3].contains("--file=migrations/002-add-indexes.sql"),
        "{calls:?}"
    );
    assert!(calls[4].contains("SELECT\\ count"), "{calls:?}");
    assert_eq!(calls.len(), 5);
    let backups = std::fs::read_dir(host.work()).expect("the directory").flatten();
    assert_eq!(backups.filter(|entry| entry.file_name().to_string_lossy().starts_with("backup-")).count(), 0, "cleaned up");
}

#[test]
fn a_failed_migration_restores_the_newest_backup() {
    let (mut host, source) = host("database/migrate.opl");
    let bucket = host.named("SITE");
    host.set("BACKUP_BUCKET", &bucket).set("RECORD_FAIL", "002-add-indexes");
    assert_eq!(run(&host, &source, &["migrate"]), 1);
    let calls = host.calls();
    let failed = calls.iter().filter(|call| call.contains("002-add-indexes")).count();
    assert_eq!(failed, 2, "@retry(attempts=2)");
    assert!(calls.contains(&format!("aws s3 ls s3://{bucket}/")));
    assert!(calls.contains(&format!("aws s3 cp s3://{bucket}/backup-20260102-030405.sql.gz -")), "{calls:?}");
    // The commands of a pipe start at once, so either may be noted first.
    assert!(calls.iter().rev().take(2).any(|call| call == "psql postgres://app:hunter22@db/app"), "{calls:?}");
}

#[test]
fn the_commands_of_the_command_file_run_where_they_should() {
    let (host, source) = host("build/commands.opl");
    let module = host.named("SITE");
    for folder in ["cli", "runtime", module.as_str()] {
        std::fs::create_dir(host.work().join(folder)).expect("a directory");
    }
    assert_eq!(run(&host, &source, &["build", &module, "--target=out"]), 0);
    assert_eq!(host.calls(), ["npm ci", "npm run build -- --output=out"]);
}

#[test]
fn the_matrix_of_the_command_file_holds_every_pair() {
    let (host, source) = host("build/commands.opl");
    let quick = host.opalc(&[&source, "matrix"]);
    quick.expect(0);
    for pair in ["--module=cli --runtime=18", "--module=cli --runtime=20", "--module=runtime --runtime=18", "--module=runtime --runtime=20"]
    {
        assert!(quick.stdout.contains(pair), "{}", quick.stdout);
    }
    host.opalc(&[&source, "matrix", "--resolve", "-o", "example.plan"]).expect(0);
    let inspected = host.vm(&["inspect", "--plan", "example.plan"]);
    assert!(inspected.stdout.contains("matrix, 4 steps"), "{}", inspected.stdout);
}

#[test]
fn the_pull_request_command_stops_at_the_first_failure() {
    let (mut host, source) = host("build/commands.opl");
    for folder in ["cli", "runtime"] {
        std::fs::create_dir(host.work().join(folder)).expect("a directory");
    }
    let fail = host.named("npm test");
    host.set("RECORD_FAIL", &fail);
    host.opalc(&[&source, "ci", "--resolve", "-o", "example.plan"]).expect(0);
    let ended = host.vm(&["run", "--plan", "example.plan"]);
    ended.expect(1).says("error[step_failed]").says("npm test");
    assert_eq!(host.calls(), ["golint ./...", "gofmt -l .", "npm test", "npm test", "npm test"], "three attempts, then no package");
}
