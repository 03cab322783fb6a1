//! TLS of the API, where the cargo feature `api-tls` is on: rustls with ring, versions 1.2 and 1.3.

#[cfg(feature = "api-tls")]
mod with {
    use std::io;
    use std::path::Path;
    use std::sync::Arc;

    use tokio::net::TcpStream;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring::default_provider;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use crate::config::ApiTls;

    /// Makes connections secret.
    #[derive(Clone)]
    pub(crate) struct Tls(TlsAcceptor);

    /// A connection that is secret.
    pub(crate) type Secret = tokio_rustls::server::TlsStream<TcpStream>;

    impl Tls {
        /// Reads certificate and key.
        ///
        /// # Errors
        /// A file cannot be used, in words.
        pub(crate) fn open(files: &ApiTls) -> Result<Self, String> {
            let refused = |path: &Path, error: &dyn core::fmt::Display| {
                format!("could not use `{}`: {error}", path.display())
            };
            let certificates: Result<Vec<_>, _> =
                CertificateDer::pem_file_iter(&files.certificate).and_then(Iterator::collect);
            let certificates = certificates.map_err(|error| refused(&files.certificate, &error))?;
            let key = PrivateKeyDer::from_pem_file(&files.key)
                .map_err(|error| refused(&files.key, &error))?;
            let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .with_no_client_auth()
                .with_single_cert(certificates, key)
                .map_err(|error| refused(&files.certificate, &error))?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Self(TlsAcceptor::from(Arc::new(config))))
        }

        /// Greets a caller.
        pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<Secret> {
            self.0.accept(stream).await
        }
    }
}

#[cfg(not(feature = "api-tls"))]
mod without {
    use std::io;

    use tokio::net::TcpStream;

    use crate::config::ApiTls;

    /// There is none in this build; the configuration that asks for it is refused.
    #[derive(Clone)]
    pub(crate) enum Tls {}

    impl Tls {
        /// Always refused.
        ///
        /// # Errors
        /// Always.
        pub(crate) fn open(_: &ApiTls) -> Result<Self, String> {
            Err("TLS needs the cargo feature `api-tls`".to_owned())
        }

        /// Never called.
        #[expect(clippy::unused_async, reason = "the build with TLS waits for the handshake here")]
        pub(crate) async fn accept(&self, _: TcpStream) -> io::Result<TcpStream> {
            match *self {}
        }
    }
}

#[cfg(feature = "api-tls")]
pub(crate) use with::Tls;
#[cfg(not(feature = "api-tls"))]
pub(crate) use without::Tls;
