//! A login, and a second one where the driver may have spoiled the first.

use super::settings::MysqlSettings;

/// `ER_ACCESS_DENIED_ERROR`.
const REFUSED: u16 = 1045;

impl MysqlSettings {
    /// Tries it again where the server refuses the password: what the driver reads of a server's challenge
    /// ends before a zero byte, and with `ed25519` one challenge of 256 ends with one that belongs to it.
    /// (`mysql_common` no longer does so from 0.38 on; `mysql_async` 0.37 comes with 0.37.)
    pub(super) async fn log_in<T, F>(&self, once: impl Fn() -> F) -> mysql_async::Result<T>
    where
        F: Future<Output = mysql_async::Result<T>>,
    {
        match once().await {
            Err(mysql_async::Error::Server(refused)) if refused.code == REFUSED && self.password.is_some() => {
                once().await
            }
            done => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use kronos_core::{ErrorKind, Secret};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::settings::TlsMode;
    use super::*;

    /// One packet of the protocol, which begins with its length in three bytes and its number.
    async fn send(stream: &mut TcpStream, number: u8, packet: &[u8]) {
        let mut framed = u32::try_from(packet.len()).unwrap().to_le_bytes();
        framed[3] = number;
        stream.write_all(&[&framed, packet].concat()).await.unwrap();
    }

    /// A server that refuses the first logins, and counts all that come.
    async fn strict(refusals: u32) -> (u16, Arc<AtomicU32>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let logins = Arc::new(AtomicU32::new(0));
        let counted = logins.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let is_refused = counted.fetch_add(1, Ordering::Relaxed) < refusals;
                let mut greeting = b"\x0a11.4.2-MariaDB\0\x01\0\0\0challeng\0\x00\x82\x2d\x02\0\x08\0\x15".to_vec();
                greeting.extend(*b"\0\0\0\0\0\0\0\0\0\0that is long\0mysql_native_password\0");
                send(&mut stream, 0, &greeting).await;
                let mut length = [0; 4];
                stream.read_exact(&mut length).await.unwrap();
                let mut answer = vec![0; usize::from(length[0]) + 256 * usize::from(length[1])];
                stream.read_exact(&mut answer).await.unwrap();
                let refusal: &[u8] = b"\xff\x15\x04#28000Access denied";
                send(&mut stream, 2, if is_refused { refusal } else { b"\0\0\0\x02\0\0\0" }).await;
            }
        });
        (port, logins)
    }

    fn to(port: u16, password: Option<&str>) -> MysqlSettings {
        let mut settings = MysqlSettings::new("127.0.0.1", "kronos");
        settings.port = port;
        settings.tls.mode = TlsMode::Disable;
        settings.password = password.map(Secret::new);
        settings
    }

    #[tokio::test]
    async fn a_login_that_is_refused_is_tried_once_more() {
        let (port, logins) = strict(1).await;
        to(port, Some("x")).connect().await.unwrap();
        assert_eq!(logins.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_wrong_password_is_wrong_twice_and_none_once() {
        for (password, expected) in [(Some("wrong"), 2), (None, 1)] {
            let (port, logins) = strict(9).await;
            let refused = to(port, password).connect().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Authentication, "{refused:?}");
            assert_eq!(logins.load(Ordering::Relaxed), expected);
        }
    }
}
