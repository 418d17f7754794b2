//! Mail by SMTP, as text and as HTML.

use std::time::{Duration, SystemTime};

use kronos_core::{Error, ErrorKind, Result, Retry};
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use reqwest::Url;

use super::http::is_of_tls;
use super::tls;
use crate::notify::courier::Receipt;
use crate::notify::letter::Letter;
use crate::notify::render::{html, subject, text, zone};
use crate::notify::settings::{Channel, Email};

/// A mail goes through several steps, and some servers let strangers wait on purpose.
const STEPS: u32 = 6;

/// Whether, and from when on, the way is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    Tls,
    StartTls,
    Plain,
}

struct Server {
    host: String,
    port: u16,
    security: Security,
}

/// Checks everything but the network.
pub(super) fn check(email: &Email, authorities: Option<&[u8]>) -> Result<()> {
    let server = server(email)?;
    addresses(email)?;
    tls_of(&server, authorities).map(drop)
}

/// Sends a letter.
pub(in crate::notify) async fn send(channel: &Channel, email: &Email, letter: &Letter) -> Result<Receipt> {
    let message = message(channel, email, letter)?;
    let transport = transport(channel, email, letter).await?;
    let most = channel.timeout.saturating_mul(STEPS);
    match tokio::time::timeout(most, to_all(&transport, &message)).await {
        Ok(sent) => sent,
        Err(_) => Err(too_slow(most)),
    }
}

fn too_slow(most: Duration) -> Error {
    Error::new(ErrorKind::Timeout, "the mail server does not answer in time")
        .with("timeout", format_args!("{} s", most.as_secs_f64()))
        .with_retry(Retry::Later)
}

/// One whom the server refuses must not keep the others from hearing of it.
async fn to_all(transport: &AsyncSmtpTransport<Tokio1Executor>, message: &Message) -> Result<Receipt> {
    let (envelope, bytes) = (message.envelope(), message.formatted());
    let refused = match transport.send_raw(envelope, &bytes).await {
        Ok(_) => return Ok(Receipt::default()),
        Err(error) if is_of_a_recipient(&error) && envelope.to().len() > 1 => error,
        Err(error) => return Err(failure(error)),
    };
    let (mut remarks, mut is_sent) = (Vec::new(), false);
    for to in envelope.to() {
        let alone = Envelope::new(envelope.from().cloned(), vec![to.clone()])
            .map_err(|e| Error::new(ErrorKind::Internal, "a mail has no recipient").with_source(e))?;
        match transport.send_raw(&alone, &bytes).await {
            Ok(_) => is_sent = true,
            Err(error) => remarks.push(format!("the mail server refuses {to}: {error}")),
        }
    }
    if is_sent { Ok(Receipt { remarks }) } else { Err(failure(refused)) }
}

fn is_of_a_recipient(error: &SmtpError) -> bool {
    error.status().is_some_and(|code| (550..=554).contains(&u16::from(code)))
}

fn message(channel: &Channel, email: &Email, letter: &Letter) -> Result<Message> {
    let (from, to) = addresses(email)?;
    let zone = zone(channel);
    let id = format!("<{}@{}>", letter.id, from.email.domain());
    let since_1970 = Duration::from_micros(u64::try_from(letter.at.as_micros()).unwrap_or(0));
    let mut message = Message::builder()
        .from(from)
        .subject(format!("[kronos] {}", subject(letter)))
        .message_id(Some(id))
        .date(SystemTime::UNIX_EPOCH + since_1970)
        .user_agent(concat!("kronos/", env!("CARGO_PKG_VERSION")).to_owned())
        // So that nobody's absence is answered.
        .raw_header(raw("Auto-Submitted", "auto-generated"));
    for to in to {
        message = message.to(to);
    }
    let parts = MultiPart::alternative_plain_html(text::letter(letter, &zone), html::letter(letter, &zone));
    message
        .multipart(parts)
        .map_err(|e| Error::new(ErrorKind::Config, "a mail cannot be made of these settings").with_source(e))
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn addresses(email: &Email) -> Result<(Mailbox, Vec<Mailbox>)> {
    let read = |text: &String| {
        text.parse::<Mailbox>().map_err(|e| {
            Error::new(ErrorKind::Config, "this is no address of mail")
                .with("address", text)
                .with("hint", "write it as ops@example.org, or Ops <ops@example.org>")
                .with_source(e)
        })
    };
    if email.to.is_empty() {
        return Err(Error::new(ErrorKind::Config, "mail has no recipient").with("missing", "to"));
    }
    Ok((read(&email.from)?, email.to.iter().map(read).collect::<Result<_>>()?))
}

fn server(email: &Email) -> Result<Server> {
    let bad = |message: &str| {
        Error::new(ErrorKind::Config, message)
            .with("hint", "write it as smtps://host, smtp+starttls://host or smtp://host, with :port if need be")
    };
    let url = Url::parse(&email.smtp).map_err(|_| bad("the address of the mail server is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("the login of the mail server does not belong into its address").with("missing", "login"));
    }
    let (security, usual) = match url.scheme() {
        "smtps" => (Security::Tls, 465),
        "smtp+starttls" => (Security::StartTls, 587),
        "smtp" => (Security::Plain, 25),
        _ => return Err(bad("the address of the mail server is none of SMTP")),
    };
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err(bad("the address of the mail server has a path or settings"));
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("the mail server has no name"))?;
    if email.login.is_some() != email.password.is_some() {
        let missing = if email.login.is_some() { "password" } else { "login" };
        let message = "a login to the mail server needs a name and a password";
        return Err(Error::new(ErrorKind::Config, message).with("missing", missing));
    }
    if security == Security::Plain && email.login.is_some() && !email.plain_login {
        let message = "a login by smtp:// can be read by everybody on the way";
        return Err(Error::new(ErrorKind::Config, message)
            .with("hint", "use smtps:// or smtp+starttls://, or allow it by `plain_login = true`"));
    }
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Server { host, port: url.port().unwrap_or(usual), security })
}

fn tls_of(server: &Server, authorities: Option<&[u8]>) -> Result<Tls> {
    if server.security == Security::Plain {
        return Ok(Tls::None);
    }
    let cannot = |e: SmtpError| Error::new(ErrorKind::Config, "TLS cannot be set up").with_source(e);
    let with = |store: CertificateStore| {
        let mut builder = TlsParameters::builder(server.host.clone()).certificate_store(store);
        if let Some(pem) = authorities {
            builder = builder.add_root_certificate(Certificate::from_pem(pem)?);
        }
        builder.build_rustls()
    };
    let parameters = match with(CertificateStore::Default) {
        Ok(parameters) => parameters,
        // A system without authorities of its own trusts those that were given, and nobody else.
        Err(_) => with(CertificateStore::None).map_err(cannot)?,
    };
    Ok(if server.security == Security::Tls { Tls::Wrapper(parameters) } else { Tls::Required(parameters) })
}

async fn transport(channel: &Channel, email: &Email, letter: &Letter) -> Result<AsyncSmtpTransport<Tokio1Executor>> {
    let server = server(email)?;
    let settings = channel.clone();
    let (server, tls) = tokio::task::spawn_blocking(move || {
        let tls = tls_of(&server, tls::authorities(&settings)?.as_deref())?;
        Ok::<_, Error>((server, tls))
    })
    .await
    .map_err(|e| Error::new(ErrorKind::Internal, "setting up TLS panicked").with_source(e))??;
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host)
        .port(server.port)
        .tls(tls)
        .timeout(Some(channel.timeout));
    if let Some(host) = letter.host.as_ref().filter(|host| is_name(host)) {
        builder = builder.hello_name(ClientId::Domain(host.clone()));
    }
    if let (Some(login), Some(password)) = (&email.login, &email.password) {
        builder = builder
            .credentials(Credentials::new(login.clone(), password.expose().to_owned()))
            .authentication(vec![Mechanism::Plain, Mechanism::Login]);
    }
    Ok(builder.build())
}

/// What a server is greeted with stands in a command, and must not be one.
fn is_name(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}

fn failure(error: SmtpError) -> Error {
    let code = error.status().map(u16::from);
    let later = |kind, message: &str| Error::new(kind, message).with_retry(Retry::Later);
    let failed = match code {
        Some(530 | 534 | 535 | 538) => Error::new(ErrorKind::Authentication, "the mail server refuses the login")
            .with("hint", "check login and password; some servers want a password of its own for programs"),
        Some(500..) => Error::new(ErrorKind::Unsupported, "the mail server refuses the mail")
            .with("hint", "check sender and recipients"),
        Some(_) => later(ErrorKind::ConnectionFailed, "the mail server asks to try again later"),
        None if error.is_timeout() => later(ErrorKind::Timeout, "the mail server does not answer in time"),
        None if error.is_client() => {
            Error::new(ErrorKind::Config, "the mail server cannot do what the settings ask for")
        }
        None if error.is_tls() || is_of_tls(&error) => {
            later(ErrorKind::ConnectionFailed, "the mail server cannot be trusted")
                .with("hint", "name the authority of its certificate by `tls_ca`")
        }
        None => later(ErrorKind::ConnectionFailed, "the mail server cannot be reached"),
    };
    let failed = match code {
        Some(code) => failed.with("status", code),
        None => failed,
    };
    failed.with_source(error)
}
