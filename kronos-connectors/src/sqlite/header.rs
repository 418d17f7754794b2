//! The header of a database, in the first 100 bytes of page 1; see <https://sqlite.org/fileformat2.html>.

/// The length of the header.
pub(super) const HEADER: usize = 100;

const MAGIC: &[u8] = b"SQLite format 3\0";
const CHANGE_COUNTER: std::ops::Range<usize> = 24..28;
const SCHEMA_COOKIE: std::ops::Range<usize> = 40..44;
const VALID_FOR: std::ops::Range<usize> = 92..96;
const WRITER_VERSION: std::ops::Range<usize> = 96..100;

/// What the copying changes in page 1, as it was in the source.
///
/// The backup API raises the schema cookie, so that other connections of the copy reload it, and
/// the pager writes a change counter and its own version. Left alone, two backups of one state
/// would still be equal, but the copy would not say what the source said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PageOne {
    schema_cookie: u32,
    change_counter: u32,
    writer_version: [u8; 4],
}

impl PageOne {
    /// `file` is the header in the main file. With a write-ahead log it may be older than the
    /// snapshot: then the counter is too, which is harmless, as it only tells one content of a
    /// file from the next while connections are open. The cookie is read in the snapshot.
    pub(super) fn new(schema_cookie: u32, file: Option<&[u8; HEADER]>) -> Self {
        match file.filter(|header| header.starts_with(MAGIC)) {
            Some(header) => Self {
                schema_cookie,
                change_counter: number(&header[CHANGE_COUNTER]),
                writer_version: bytes(&header[WRITER_VERSION]),
            },
            None => Self { schema_cookie, change_counter: 1, writer_version: [0; 4] },
        }
    }

    /// Sets the fields in a page 1.
    pub(super) fn set(&self, page: &mut [u8]) {
        page[SCHEMA_COOKIE].copy_from_slice(&self.schema_cookie.to_be_bytes());
        page[CHANGE_COUNTER].copy_from_slice(&self.change_counter.to_be_bytes());
        // Equal to the counter: so the page count in the header, which the backup API has set, counts.
        page[VALID_FOR].copy_from_slice(&self.change_counter.to_be_bytes());
        page[WRITER_VERSION].copy_from_slice(&self.writer_version);
    }
}

fn number(field: &[u8]) -> u32 {
    u32::from_be_bytes(bytes(field))
}

fn bytes(field: &[u8]) -> [u8; 4] {
    field.try_into().expect("each field is four bytes long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_the_source_are_put_back_and_no_others() {
        let mut source = [7; HEADER];
        source[..16].copy_from_slice(MAGIC);
        source[CHANGE_COUNTER].copy_from_slice(&9u32.to_be_bytes());
        let mut page = [1; 512];
        PageOne::new(5, Some(&source)).set(&mut page);
        assert_eq!((number(&page[24..28]), number(&page[92..96]), number(&page[40..44])), (9, 9, 5));
        assert_eq!(&page[96..100], &[7; 4]);
        assert!([0..24, 28..40, 44..92, 100..512].into_iter().flatten().all(|other| page[other] == 1));
        assert_eq!(PageOne::new(5, Some(&[7; HEADER])), PageOne::new(5, None));
    }
}
