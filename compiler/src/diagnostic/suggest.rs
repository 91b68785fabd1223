//! The nearest known name.

/// The candidate nearest to `name`, if it is near enough to be what was meant: at most a third of the letters differ
/// (swapped neighbours count once), and at least one is the same. Names beyond 64 characters get no suggestion.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.chars().take(65).collect();
    if wanted.is_empty() || wanted.len() > 64 {
        return None;
    }
    let allowed = (wanted.len() / 3).max(1);
    let near = |candidate: &&'a str| {
        let other: Vec<char> = candidate.chars().take(65).collect();
        let distance = distance(&wanted, &other);
        let enough = distance <= allowed && distance < wanted.len().max(other.len());
        enough.then_some(distance)
    };
    candidates
        .into_iter()
        .filter_map(|candidate| near(&candidate).map(|distance| (distance, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance where swapping two neighbours is one edit; letters that differ in case only count as equal.
fn distance(a: &[char], b: &[char]) -> usize {
    let same = |x: char, y: char| x.eq_ignore_ascii_case(&y);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(!same(x, y))).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && same(x, b[j - 1]) && same(a[i - 1], y) {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("evn", ["var", "env", "file"]), Some("env"));
        assert_eq!(nearest("Service", ["service", "server"]), Some("service"));
        assert_eq!(nearest("replcas", ["replicas", "region"]), Some("replicas"));
        assert_eq!(nearest("zzz", ["var", "env"]), None);
        assert_eq!(nearest("", ["var"]), None);
    }
}
