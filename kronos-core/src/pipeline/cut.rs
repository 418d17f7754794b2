//! Cutting a stream into chunks: at page boundaries, or where the content says so.

use bytes::{Bytes, BytesMut};
use fastcdc::v2020::FastCDC;

use crate::repository::ChunkerParameters;
use crate::stream::Cutting;

/// Chunks of pages are no smaller than this, however small the pages are.
const LEAST_PAGE_CHUNK: u32 = 4096;

/// Cuts one stream.
#[derive(Debug)]
pub(crate) struct Cutter {
    rule: Rule,
    rest: BytesMut,
}

#[derive(Debug)]
enum Rule {
    Every(usize),
    Content([u32; 3]),
}

/// The size of a page-cut chunk: what the job used before, or a power of two of the page that
/// keeps the stream below the largest number of chunks.
pub(crate) fn chunk_size(cutting: Cutting, size: Option<u64>, before: Option<u32>, chunker: &ChunkerParameters) -> u32 {
    let Cutting::Pages(page) = cutting else { return 0 };
    let page = page.max(1);
    if let Some(before) = before.filter(|b| *b >= page && b.is_multiple_of(page)) {
        return before;
    }
    let least = LEAST_PAGE_CHUNK.min(chunker.block);
    let mut chunk = page;
    while chunk < least || size.unwrap_or(0) / u64::from(chunk) > chunker.max_chunks {
        match chunk.checked_mul(2) {
            Some(larger) if larger <= 16 << 20 => chunk = larger,
            _ => break,
        }
    }
    chunk
}

impl Cutter {
    pub(crate) fn new(chunk: u32, chunker: &ChunkerParameters) -> Self {
        let rule = if chunk > 0 { Rule::Every(chunk as usize) } else { Rule::Content(chunker.content) };
        Self { rule, rest: BytesMut::new() }
    }

    /// Takes more of the stream; appends the chunks that are complete.
    pub(crate) fn push(&mut self, mut piece: Bytes, chunks: &mut Vec<Bytes>) {
        match self.rule {
            Rule::Every(size) => {
                if !self.rest.is_empty() {
                    let missing = (size - self.rest.len()).min(piece.len());
                    self.rest.extend_from_slice(&piece.split_to(missing));
                    if self.rest.len() < size {
                        return;
                    }
                    chunks.push(self.rest.split().freeze());
                }
                while piece.len() >= size {
                    chunks.push(piece.split_to(size));
                }
                self.rest.extend_from_slice(&piece);
            }
            Rule::Content([_, _, most]) => {
                self.rest.extend_from_slice(&piece);
                while self.rest.len() >= most as usize {
                    chunks.push(self.cut());
                }
            }
        }
    }

    /// Ends the stream; appends what is left.
    pub(crate) fn finish(mut self, chunks: &mut Vec<Bytes>) {
        while !self.rest.is_empty() {
            chunks.push(self.cut());
        }
    }

    fn cut(&mut self) -> Bytes {
        let length = match self.rule {
            Rule::Every(size) => self.rest.len().min(size),
            Rule::Content([least, average, most]) => {
                let window = self.rest.len().min(most as usize);
                let cdc = FastCDC::new(&self.rest[..window], least as usize, average as usize, most as usize);
                cdc.cut(0, window).1.clamp(1, window)
            }
        };
        self.rest.split_to(length).freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut_all(chunk: u32, pieces: &[Vec<u8>]) -> Vec<Bytes> {
        let mut cutter = Cutter::new(chunk, &ChunkerParameters { content: [64, 256, 1024], ..Default::default() });
        let mut chunks = Vec::new();
        for piece in pieces {
            cutter.push(Bytes::from(piece.clone()), &mut chunks);
        }
        cutter.finish(&mut chunks);
        chunks
    }

    proptest! {
        #[test]
        fn chunks_are_the_stream_however_it_arrives(bytes: Vec<u8>, at in 0usize..200, pages: bool) {
            let chunk = if pages { 16 } else { 0 };
            let at = at.min(bytes.len());
            let one = cut_all(chunk, std::slice::from_ref(&bytes));
            let two = cut_all(chunk, &[bytes[..at].to_vec(), bytes[at..].to_vec()]);
            prop_assert_eq!(&one, &two);
            prop_assert_eq!(one.concat(), bytes);
        }
    }

    #[test]
    fn large_streams_get_larger_page_chunks_and_keep_them() {
        let chunker = ChunkerParameters::default();
        let size = |bytes: u64, before| chunk_size(Cutting::Pages(4096), Some(bytes), before, &chunker);
        assert_eq!(size(1 << 30, None), 4096);
        assert_eq!(size(16 << 30, None), 4096);
        assert_eq!(size(17 << 30, None), 8192);
        assert_eq!(size(17 << 30, Some(4096)), 4096);
        assert_eq!(chunk_size(Cutting::Pages(512), None, None, &chunker), 4096);
        assert_eq!(chunk_size(Cutting::Content, None, None, &chunker), 0);
    }
}
