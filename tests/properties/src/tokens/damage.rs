//! What becomes of a token on its way: characters, bytes and whole fields are changed, lost, or come from another one.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{SIGNATURE, bytes_of, chosen};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a token never has, but other encodings, cookies and URLs do.
const STRANGE: &[char] = &['=', '+', '/', '%', ' ', '"', '.', '\n', '\0', 'é', '\u{feff}', '\u{1d7ce}'];

/// Where the fields of fixed places begin: key, flags, cluster, time of issue, lifetime and positions.
const FIELDS: &[usize] = &[0, 1, 3, 4, 12, 17];

/// A token as these numbers change it, one after the other. It may come out as it went in, or as another one that was signed.
#[must_use]
pub fn damaged(text: &str, edits: &[u32]) -> String {
    edits.iter().fold(text.to_owned(), |text, edit| {
        // Half of the edits are of bytes: whatever those make decodes, and reaches the checks behind.
        match (edit & 1, URL_SAFE_NO_PAD.decode(&text)) {
            (0, Ok(bytes)) => URL_SAFE_NO_PAD.encode(of_bytes(bytes, edit >> 1)),
            _ => of_characters(&text, edit >> 1),
        }
    })
}

fn of_characters(text: &str, edit: u32) -> String {
    let [kind, at, by, other] = edit.to_le_bytes();
    let mut text: Vec<char> = text.chars().collect();
    let at = usize::from(at) % (text.len() + 1);
    let character = char::from(ALPHABET[usize::from(by) % ALPHABET.len()]);
    match kind % 8 {
        0 => text.truncate(at),
        1 => drop(text.drain(..at)),
        2 => text.insert(at, character),
        3 => text.insert(at, STRANGE[usize::from(by) % STRANGE.len()]),
        4 => text.extend(chosen(other.into()).token.as_str().chars().take(usize::from(by))),
        // The last one holds fewer bits than it might, and whatever is in the others is not to be overlooked.
        5 => {
            let last = text.pop().and_then(|last| ALPHABET.iter().position(|c| char::from(*c) == last));
            text.extend(last.map(|last| char::from(ALPHABET[last ^ usize::from(by % 3 + 1)])));
        }
        6 => {
            if let Some(one) = text.get_mut(at) {
                *one = if one.is_ascii_lowercase() {
                    one.to_ascii_uppercase()
                } else {
                    one.to_ascii_lowercase()
                };
            }
        }
        _ => {
            if let Some(one) = text.get_mut(at) {
                *one = character;
            }
        }
    }
    text.into_iter().collect()
}

/// One edit of what a token holds, its signature among it.
#[must_use]
pub(super) fn of_bytes(mut bytes: Vec<u8>, edit: u32) -> Vec<u8> {
    let [kind, at, by, other] = edit.to_le_bytes();
    let other = bytes_of(chosen(other.into()));
    let (some, from) = (usize::from(by), usize::from(at) % (bytes.len() + 1));
    let segment = from..(from + some % 9).min(bytes.len());
    match kind % 10 {
        0 => {
            if let Some(version) = bytes.first_mut() {
                *version = by % 4;
            }
        }
        1 => drop(bytes.drain(segment)),
        2 => {
            let twice = bytes[segment.clone()].to_vec();
            drop(bytes.splice(segment.end..segment.end, twice));
        }
        3 => {
            let (one, two) = (field(&bytes, at.into()), field(&bytes, some));
            let (one, two) = if one.start <= two.start { (one, two) } else { (two, one) };
            // Fields do not overlap, unless it is the same one.
            if one.end <= two.start {
                let between = one.end..two.start;
                bytes = [
                    &bytes[..one.start],
                    &bytes[two.clone()],
                    &bytes[between],
                    &bytes[one],
                    &bytes[two.end..],
                ]
                .concat();
            }
        }
        4 => {
            let (here, there) = (field(&bytes, at.into()), field(&other, at.into()));
            drop(bytes.splice(here, other[there].to_vec()));
        }
        5 => {
            bytes.truncate(from);
            bytes.extend(&other[other.len().min(from)..]);
        }
        6 => bytes.extend(&other[..other.len().min(some)]),
        7 => bytes.insert(from, by),
        8 => {
            if let Some(byte) = bytes.get_mut(from) {
                *byte = by;
            }
        }
        _ => {
            if let Some(byte) = bytes.get_mut(from) {
                *byte ^= 1 << (by % 8);
            }
        }
    }
    bytes
}

/// One of the fields, by number; the last one is the signature.
fn field(bytes: &[u8], number: usize) -> Range<usize> {
    let len = bytes.len();
    let mut bounds: Vec<usize> = FIELDS.iter().map(|at| (*at).min(len)).collect();
    bounds.extend([len.saturating_sub(SIGNATURE).max(FIELDS[FIELDS.len() - 1]).min(len), len]);
    let number = number % (bounds.len() - 1);
    bounds[number]..bounds[number + 1]
}
