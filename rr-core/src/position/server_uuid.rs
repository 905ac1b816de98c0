//! MySQL's name for a server.

use std::fmt;
use std::str::FromStr;

use super::ParsePositionError;
use super::text::Cursor;

/// The UUID that a MySQL server gave itself (`server_uuid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerUuid(u128);

impl ServerUuid {
    /// The UUID with these bytes, in the order in which they are printed.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParsePositionError> {
        let start = *cursor;
        Self::read_bytes(cursor)
            .ok_or_else(|| start.unexpected("a server UUID such as 3e11fa47-71ca-11e1-9e33-c80aa9429562"))
    }

    fn read_bytes(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut bytes = [0; 16];
        for (i, byte) in bytes.iter_mut().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) && !cursor.eat(b'-') {
                return None;
            }
            *byte = cursor.hex_byte()?;
        }
        Some(Self::from_bytes(bytes))
    }
}

/// Lower case with dashes, as the server prints it.
impl fmt::Display for ServerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.to_be_bytes().iter().enumerate() {
            let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for ServerUuid {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut cursor = Cursor::new(text);
        let uuid = Self::read(&mut cursor)?;
        cursor.expect_end("the end of the UUID")?;
        Ok(uuid)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_round_trip(bytes in any::<[u8; 16]>(), cut in 0_usize..36) {
            let uuid = ServerUuid::from_bytes(bytes);
            let text = uuid.to_string();
            prop_assert_eq!(text.parse(), Ok(uuid));
            prop_assert_eq!(text.to_uppercase().parse(), Ok(uuid));
            prop_assert!(text[..cut].parse::<ServerUuid>().is_err());
            prop_assert!((text + "0").parse::<ServerUuid>().is_err());
        }
    }
}
