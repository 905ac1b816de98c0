//! Writes what fuzzing begins with: `rr-seeds FOLDER` makes one folder for each target in it.

use std::error::Error;
use std::fs;
use std::path::Path;

use rr_core::sql::Dialect;
use rr_properties::seeds::{self, CONFIGS, POSITIONS, URLS};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: rr-seeds FOLDER")?;
    let folder = Path::new(&folder);
    // The first byte is the dialect, as the targets read it.
    let statements = seeds::statements()?.into_iter().map(|statement| {
        let dialect = if statement.dialect == Dialect::MySql { "m" } else { "p" };
        dialect.to_owned() + &statement.sql
    });
    let statements: Vec<String> = statements.collect();
    write(&folder.join("statements"), statements.iter().map(String::as_str))?;
    write(&folder.join("appending"), statements.iter().map(String::as_str))?;
    write(&folder.join("positions"), POSITIONS.iter().copied())?;
    write(&folder.join("urls"), URLS.iter().copied())?;
    write(&folder.join("configs"), CONFIGS.iter().copied())?;
    write(&folder.join("tokens"), ["AQAB"].into_iter())?;
    Ok(())
}

fn write<'a>(folder: &Path, seeds: impl Iterator<Item = &'a str>) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, seed) in seeds.enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}
