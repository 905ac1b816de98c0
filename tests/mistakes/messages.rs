//! What the compiler says of the commonest mistakes: it must be as readable as with a plain connection.
//!
//! Each file in `made` makes one mistake twice, in the function `plain` with a plain connection and in the function
//! `routed` with a routed one. After a new compiler or a new Diesel, `TRYBUILD=overwrite cargo test -p rr-mistakes` writes
//! down what it says now; `WRITTEN_BY` is to be changed with it.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    /// Whose words the files have. Other compilers say the same in other words.
    const WRITTEN_BY: &str = "rustc 1.95.";

    #[test]
    fn the_compiler_says_what_is_written_down() {
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let version = Command::new(compiler).arg("--version").output().unwrap().stdout;
        let version = String::from_utf8(version).unwrap();
        if !version.starts_with(WRITTEN_BY) {
            println!("skipped: the messages were written down with {WRITTEN_BY}x, and this is {version}");
            return;
        }
        trybuild::TestCases::new().compile_fail("made/*.rs");
    }

    #[test]
    fn it_says_the_same_of_routed_connections_as_of_plain_ones() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/made");
        let mut compared = 0;
        for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            if file.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let source = fs::read_to_string(&file).unwrap();
            let said = fs::read_to_string(file.with_extension("stderr")).unwrap();
            let routed = 1 + source.lines().position(|line| line.starts_with("async fn routed")).unwrap();
            let errors: Vec<&str> =
                said.trim_end().split("\n\n").filter(|error| error.starts_with("error")).collect();
            let (plain, routed): (Vec<_>, Vec<_>) = errors.iter().partition(|error| line_of(error) < routed);
            assert!(!plain.is_empty(), "{}", file.display());
            let names = |errors: Vec<&str>| errors.into_iter().map(without_names).collect::<Vec<_>>();
            assert_eq!(names(plain), names(routed), "{}", file.display());
            compared += 1;
        }
        assert_eq!(compared, 4);
    }

    /// The line that an error is about.
    fn line_of(error: &str) -> usize {
        let place = error.lines().find_map(|line| line.trim_start().strip_prefix("--> ")).unwrap();
        place.split(':').nth(1).unwrap().parse().unwrap()
    }

    /// An error without what must differ: the names of the connections, and how much room they and the lines' numbers take.
    fn without_names(error: &str) -> String {
        let names = [
            "diesel_async::AsyncPgConnection",
            "rr_diesel::RoutedPgConnection",
            "AsyncPgConnection",
            "RoutedPgConnection",
        ];
        let text = names.iter().fold(error.to_owned(), |text, name| text.replace(name, "Conn"));
        text.chars().filter(|sign| !sign.is_ascii_digit() && !" ^-".contains(*sign)).collect()
    }
}
