use proptest::prelude::*;

use super::*;
use crate::corpus::{mutated, walk};

#[test]
fn files_above_the_limit_are_not_read() {
    for (size, is_read) in [(0, true), (10, true), (11, false)] {
        assert_eq!(read(&vec![0; size][..], 10).is_ok(), is_read, "{size}");
    }
    assert!(read(Endless { read: 0 }, 10).is_err());
}

/// An endless file, which panics if too much is read.
struct Endless {
    read: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read += buffer.len();
        assert!(self.read < 1_000_000, "read without a limit");
        buffer.fill(0);
        Ok(buffer.len())
    }
}

#[test]
fn mutations_of_the_corpus_never_panic() {
    walk("npm", read_npm);
    walk("links", read_links);
}

proptest! {
    #[test]
    fn any_npm_output_becomes_one_line(
        output in prop_oneof![mutated("npm"), prop::collection::vec(any::<u8>(), 0..999)],
    ) {
        read_npm(&output);
    }

    #[test]
    fn no_links_lead_outside(
        links in prop_oneof![
            mutated("links"),
            (
                "(native|\\.\\.|\\.|a|/){1,3}(/(native|\\.\\.|\\.|a)){0,2}",
                "[ab.]{0,2}/?",
                "[ab.]{0,2}/?",
            )
                .prop_map(|(folder, from, to)| {
                    let (from, to) = (format!("{folder}/{from}"), format!("{folder}/{to}"));
                    format!(r#"[{{"source":"{from}","target":"{to}"}}]"#).into_bytes()
                }),
        ],
    ) {
        read_links(&links);
    }
}

fn read_npm(output: &[u8]) {
    let line = one_line(output);
    assert!(line.chars().count() <= LONGEST_CAUSE);
    assert_eq!(line.lines().count().max(1), 1, "{line:?}");
}

/// Checks that only links are created, only in the package, and only to files beside them.
fn read_links(links: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("package");
    fs::create_dir_all(package.join("native/lib")).unwrap();
    fs::write(package.join("native/pg-symlinks.json"), links).unwrap();
    let _refused = link(&package);
    let inside = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| match fs::read_link(path) {
            Ok(target) => {
                assert_eq!(target.components().count(), 1, "{path:?} -> {target:?}");
                assert!(target.file_name().is_some(), "{path:?} -> {target:?}");
                false
            }
            Err(_) => true,
        });
        paths.sort();
        paths
    };
    // Not even a link.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(inside(&package), [package.join("native")]);
    let native = package.join("native");
    assert_eq!(
        inside(&native),
        ["lib", "pg-symlinks.json"].map(|name| native.join(name))
    );
}

#[test]
fn npm_errors_become_one_line() {
    let output = b"npm error code ECONNREFUSED\nnpm error request failed\n\
                   npm error     at x (y.js:1)\nnpm error log";
    assert_eq!(one_line(output), "code ECONNREFUSED; request failed");
}

#[test]
fn links_stay_inside() {
    for (links, made) in [
        (r#"[{"source":"native/a.1","target":"native/a"}]"#, true),
        (
            r#"[{"source":"native/a.1","target":"native/../../a"}]"#,
            false,
        ),
        (r#"[{"source":"/native/a.1","target":"/native/a"}]"#, false),
        (r#"[{"source":"elsewhere/a.1","target":"native/a"}]"#, false),
        ("no links", false),
    ] {
        let package = tempfile::tempdir().unwrap();
        fs::create_dir(package.path().join("native")).unwrap();
        fs::write(package.path().join("native/pg-symlinks.json"), links).unwrap();
        assert_eq!(link(package.path()).is_ok(), made, "{links}");
        let target = fs::read_link(package.path().join("native/a"));
        assert_eq!(target.ok(), made.then(|| PathBuf::from("a.1")), "{links}");
    }
}
