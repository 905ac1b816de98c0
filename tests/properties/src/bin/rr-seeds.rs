//! Writes what fuzzing begins with: `rr-seeds FOLDER` makes one folder for each target in it.

use std::error::Error;
use std::fs;
use std::path::Path;

use rr_core::sql::Dialect;
use rr_properties::seeds::{self, CONFIGS, POSITIONS, URLS};
use rr_properties::tokens::{GENUINE, body};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: rr-seeds FOLDER")?;
    let folder = Path::new(&folder);
    // The first byte is the dialect, as the targets read it.
    let statements = seeds::statements()?.into_iter().map(|statement| {
        let dialect = if statement.dialect == Dialect::MySql { "m" } else { "p" };
        dialect.to_owned() + &statement.sql
    });
    let statements: Vec<String> = statements.collect();
    write(&folder.join("statements"), statements.iter())?;
    write(&folder.join("appending"), statements.iter())?;
    write(&folder.join("positions"), POSITIONS.iter().copied())?;
    write(&folder.join("urls"), URLS.iter().copied())?;
    write(&folder.join("configs"), CONFIGS.iter().copied())?;
    // The target takes a text for a token, and for what is signed of one.
    let tokens = GENUINE.iter().flat_map(|genuine| [genuine.token.as_str().into(), body(genuine)]);
    write(&folder.join("tokens"), tokens)?;
    Ok(())
}

fn write(folder: &Path, seeds: impl Iterator<Item = impl AsRef<[u8]>>) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, seed) in seeds.enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}
