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

    #[cfg(test)]
    mod tests {
        use std::io::Write as _;
        use std::process::Command;

        use tokio::net::TcpListener;
        use tokio_rustls::TlsConnector;
        use tokio_rustls::rustls::pki_types::ServerName;
        use tokio_rustls::rustls::{ClientConfig, RootCertStore};

        use super::*;

        /// A certificate of `localhost` that OpenSSL makes.
        fn certificate(folder: &Path) -> ApiTls {
            let text = "[req]\ndistinguished_name = dn\nx509_extensions = ext\nprompt = no\n[dn]\nCN = localhost\n[ext]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = DNS:localhost\n";
            let path = |name: &str| folder.join(name);
            std::fs::write(path("conf"), text).unwrap();
            let made = Command::new("openssl")
                .args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"])
                .args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-config"])
                .arg(path("conf"))
                .arg("-keyout")
                .arg(path("key.pem"))
                .arg("-out")
                .arg(path("certificate.pem"))
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
            ApiTls { certificate: path("certificate.pem"), key: path("key.pem") }
        }

        /// Whether server and caller, who trusts a certificate, each come to terms under a name of the server.
        async fn greet(files: &ApiTls, trusted: &Path, name: &'static str) -> (bool, bool) {
            let tls = Tls::open(files).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = async {
                let (stream, _) = listener.accept().await.unwrap();
                tls.accept(stream).await.is_ok()
            };
            let client = async {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
                let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                let stream = TcpStream::connect(address).await.unwrap();
                let connector = TlsConnector::from(Arc::new(config));
                connector.connect(ServerName::try_from(name).unwrap(), stream).await.is_ok()
            };
            tokio::join!(server, client)
        }

        fn block<T>(work: impl Future<Output = T>) -> T {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(work)
        }

        #[test]
        fn a_caller_that_trusts_the_certificate_is_understood_and_another_one_hangs_up() {
            let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let [ours, other] = [0, 1].map(|at| certificate(folders[at].path()));
            let hear = |trusted: &ApiTls, name: &'static str| {
                block(greet(&ours, &trusted.certificate, name))
            };
            assert_eq!(hear(&ours, "localhost"), (true, true));
            assert_eq!(hear(&other, "localhost"), (false, false));
            assert_eq!(hear(&ours, "example.org"), (false, false));
        }

        #[test]
        fn who_does_not_speak_tls_is_not_heard() {
            let folder = tempfile::tempdir().unwrap();
            let tls = Tls::open(&certificate(folder.path())).unwrap();
            block(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let mut caller = std::net::TcpStream::connect(address).unwrap();
                caller.write_all(b"GET /v1/me HTTP/1.1\r\n\r\n").unwrap();
                let (stream, _) = listener.accept().await.unwrap();
                assert!(tls.accept(stream).await.is_err());
            });
        }

        #[test]
        fn files_that_do_not_belong_together_are_refused() {
            let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let [one, other] = [0, 1].map(|at| certificate(folders[at].path()));
            let mixed = ApiTls { certificate: one.certificate.clone(), key: other.key };
            assert!(Tls::open(&mixed).is_err());
            let none = ApiTls { certificate: one.certificate, key: folders[0].path().join("none") };
            assert!(Tls::open(&none).is_err_and(|said| said.contains("none")));
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
