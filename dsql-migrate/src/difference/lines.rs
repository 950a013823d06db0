//! The difference between two texts.

/// Returns the differences between an applied statement and the file's, as lines with `-` and `+`.
pub(crate) fn lines(applied: &str, file: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (applied.lines().collect(), file.lines().collect());
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| {
        pairs.take_while(|(old, new)| old == new).count()
    };
    let before = same(&mut old.iter().zip(&new));
    let left = before..old.len().min(new.len());
    let after = same(&mut old.iter().rev().zip(new.iter().rev())).min(left.len());
    let marked = |mark: char, lines: &[&str]| -> Vec<String> {
        let lines = &lines[before..lines.len() - after];
        lines
            .iter()
            .map(|line| format!("  {mark} {line}"))
            .collect()
    };
    let context = before.checked_sub(1).map(|at| format!("    {}", old[at]));
    let context = context.into_iter();
    let next = old.get(old.len() - after).map(|line| format!("    {line}"));
    let lines: Vec<_> = context
        .chain(marked('-', &old))
        .chain(marked('+', &new))
        .chain(next)
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changed_lines_and_their_neighbors_are_shown() {
        for (applied, file, expected) in [
            ("a", "b", "  - a\n  + b"),
            (
                "a\nb\nc\nd",
                "a\nb\nx\ny\nd",
                "    b\n  - c\n  + x\n  + y\n    d",
            ),
            ("a\na", "a", "    a\n  - a"),
            ("a", "a\na", "    a\n  + a"),
            ("", "a", "  + a"),
            ("a\nb", "b", "  - a\n    b"),
        ] {
            assert_eq!(lines(applied, file), expected, "{applied:?} {file:?}");
        }
    }
}
