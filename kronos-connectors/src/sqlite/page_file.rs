//! A database being put together from its stream, under a name that nobody looks for.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use kronos_core::{Entropy, Error, ErrorKind, PreviousStream, Result, StreamEnd};

use super::error;
use super::snapshot::page_size;
use super::write_out::WriteOut;

/// How much of a file's name goes into the temporary one: file systems allow 255 bytes.
const NAME_AT_MOST: usize = 200;

/// The file. Dropping it removes it, unless it has been put into place.
#[derive(Debug)]
pub(super) struct PageFile {
    out: WriteOut,
    path: PathBuf,
    stream: PreviousStream,
    page_size: u64,
    at: u64,
}

impl PageFile {
    /// Creates the file beside `target`, for nobody but its owner.
    pub(super) fn create(target: &Path, stream: PreviousStream, entropy: &dyn Entropy) -> Result<Self> {
        let length = stream.end.length;
        let page_size = if length == 0 { 0 } else { u64::from(page_size(&stream.info)?) };
        if length > 0 && !length.is_multiple_of(page_size) {
            return Err(corrupt("a SQLite stream that is no number of pages", &stream.info.name));
        }
        let path = target.with_file_name(temporary_name(target, entropy));
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(|e| error::io(e, &path))?;
        Ok(Self { out: WriteOut::new(file), path, stream, page_size, at: 0 })
    }

    /// Writes the next bytes of the stream where they belong: page 1 comes last.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let length = self.stream.end.length;
        let left = usize::try_from(length - self.at).unwrap_or(usize::MAX);
        if bytes.len() > left {
            return Err(corrupt("a stream is longer than its end mark says", &self.stream.info.name));
        }
        let before_first = usize::try_from((length - self.page_size).saturating_sub(self.at)).unwrap_or(usize::MAX);
        let (others, first) = bytes.split_at(before_first.min(bytes.len()));
        let failed = |e| error::io(e, &self.path);
        self.out.file().write_all_at(others, self.at + self.page_size).map_err(failed)?;
        self.at += others.len() as u64;
        if !first.is_empty() {
            let offset = self.at + self.page_size - length;
            self.out.file().write_all_at(first, offset).map_err(failed)?;
            self.at += first.len() as u64;
        }
        self.out.wrote(bytes.len() as u64).map_err(failed)
    }

    /// Compares what was written with the stream's end mark, which the stream has compared with its
    /// bytes, and with the backup's.
    pub(super) fn end(&self, end: &StreamEnd) -> Result<()> {
        let expected = &self.stream.end;
        if self.at != end.length || (end.length, end.digest) != (expected.length, expected.digest) {
            return Err(corrupt("a stream is not the one that the backup holds", &self.stream.info.name));
        }
        Ok(())
    }

    /// The temporary path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it was made from.
    pub(super) fn stream(&self) -> &PreviousStream {
        &self.stream
    }

    /// Gives it the rights of the original, never more than reading, writing and executing, and
    /// begins to bring the rest of it to the disk.
    pub(super) fn begin_settling(&mut self) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let failed = |e| error::io(e, &self.path);
        let mode = self.stream.info.attributes.get("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok());
        if let Some(mode) = mode {
            self.out.file().set_permissions(fs::Permissions::from_mode(mode & 0o777)).map_err(failed)?;
        }
        self.out.begin().map_err(failed)
    }

    /// Waits until all of it is on the disk.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.out.finish().map_err(|e| error::io(e, &self.path))
    }
}

impl Drop for PageFile {
    fn drop(&mut self) {
        // Once in its place there is nothing under this name; and what cannot be removed is only
        // a file too many.
        let _ = fs::remove_file(&self.path);
    }
}

/// `.<name>.kronos-<random>`
pub(super) fn temporary_name(target: &Path, entropy: &dyn Entropy) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let mut end = name.len().min(NAME_AT_MOST);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let mut random = [0; 8];
    entropy.fill(&mut random);
    format!(".{}.kronos-{:016x}", &name[..end], u64::from_le_bytes(random))
}

fn corrupt(message: &str, stream: &str) -> Error {
    Error::new(ErrorKind::Corrupt, message).with("stream", stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kronos_core::{Digest, StreamInfo, SystemEntropy};

    fn stream(bytes: &[u8], size: &str) -> PreviousStream {
        let mut info = StreamInfo::new("a.db");
        info.attributes.insert("page_size".to_owned(), size.to_owned());
        PreviousStream { info, end: StreamEnd { length: bytes.len() as u64, digest: Digest::of(bytes), rows: None } }
    }

    #[test]
    fn pages_go_where_they_belong_however_the_stream_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("a.db");
        let bytes: Vec<u8> = (0..512 * 3).map(|n| u8::try_from(n / 512 + 2).unwrap()).collect();
        for cut in [1, 500, 512, 700, 4000] {
            let stream = stream(&bytes, "512");
            let mut file = PageFile::create(&target, stream.clone(), &SystemEntropy).unwrap();
            bytes.chunks(cut).for_each(|piece| file.append(piece).unwrap());
            file.end(&stream.end).unwrap();
            let written = fs::read(file.path()).unwrap();
            assert_eq!((written[0], written[512], written[1024], written.len()), (4, 2, 3, 1536), "cut at {cut}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "dropping removes the file");
    }

    #[test]
    fn a_stream_of_another_length_or_content_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("a.db");
        let create = |stream| PageFile::create(&target, stream, &SystemEntropy);
        assert!(create(stream(&[0; 700], "512")).is_err());
        assert!(create(stream(&[0; 512], "0")).is_err());
        let mut file = create(stream(&[0; 512], "512")).unwrap();
        assert!(file.append(&[0; 513]).is_err());
        file.append(&[0; 511]).unwrap();
        assert!(file.end(&stream(&[0; 512], "512").end).is_err(), "it is too short");
        file.append(&[0]).unwrap();
        assert!(file.end(&stream(&[1; 512], "512").end).is_err(), "it is another");
        file.end(&stream(&[0; 512], "512").end).unwrap();
    }
}
