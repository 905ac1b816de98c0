//! What is found is kept, whole and made small, and can be judged again: by the program, as anybody runs it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Output;

use rr_torture::Error;
use rr_torture::history::History;

use crate::PROGRAM;

async fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<Output, Error> {
    let mut command = tokio::process::Command::new(PROGRAM);
    Ok(command.args(arguments).kill_on_drop(true).output().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_found_is_kept_made_small_and_judged_again() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let keep = folder.path().to_str().ok_or("a folder with a name")?;
    let tortured = run(["run", "--minutes", "0", "--lie", "eventual", "--keep", keep]).await?;
    let told = String::from_utf8(tortured.stdout)?;
    assert_eq!(tortured.status.code(), Some(1), "{told}");
    let files = std::fs::read_dir(folder.path())?.map(|file| Ok(file?.path()));
    let files = files.collect::<Result<Vec<PathBuf>, Error>>()?;
    assert!(files.iter().all(|file| told.contains(&*file.to_string_lossy())), "{told}");
    let name = |file: &PathBuf| file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (small, whole): (Vec<_>, Vec<_>) = files.iter().partition(|file| name(file).contains('-'));
    let [whole] = whole[..] else { panic!("{files:?}") };
    let all = History::read(whole)?.ops.len();
    let mut rules = Vec::new();
    for file in small {
        let rule = name(file).split_once('-').ok_or("a rule")?.1.to_owned();
        for file in [file, whole] {
            let judged = run([OsStr::new("check"), file.as_os_str()]).await?;
            let said = String::from_utf8(judged.stdout)?;
            assert!(judged.status.code() == Some(1) && said.contains(&format!("{rule}: ")), "{rule}: {said}");
        }
        let left = History::read(file)?.ops.len();
        assert!(left < all / 10, "{rule}: {left} operations of {all}");
        rules.push(rule);
    }
    assert!(rules.iter().any(|rule| rule == "OwnWrites"), "{rules:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_in_order_is_told_by_the_exit_code_from_what_is_no_history() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
    History::default().write(&good)?;
    std::fs::write(&bad, "{}")?;
    for (file, code) in [(good, 0), (bad, 2)] {
        let judged = run([OsStr::new("check"), file.as_os_str()]).await?;
        assert_eq!(judged.status.code(), Some(code), "{judged:?}");
    }
    Ok(())
}
