//! A DNS server on loopback, whose zone a test changes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{MessageType, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::rdata::SRV;
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::Result;

#[derive(Debug, Default)]
struct Zone {
    records: Mutex<BTreeMap<(String, RecordType), Vec<Record>>>,
    /// To questions for these it answers that something is wrong with it.
    failing: Mutex<Vec<RecordType>>,
    asked: AtomicU32,
}

/// It ends with the test.
pub(super) struct Dns {
    zone: Arc<Zone>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Dns {
    pub(super) async fn start() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let zone = Arc::new(Zone::default());
        let mut server = hickory_server::Server::new(Handler(Arc::clone(&zone)));
        server.register_socket(socket);
        let server = tokio::spawn(async move { drop(server.block_until_done().await) });
        Ok(Self { zone, address, server })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Questions so far.
    pub(super) fn asked(&self) -> u32 {
        self.zone.asked.load(Ordering::Relaxed)
    }

    /// It fails for these records, and for no others.
    pub(super) fn fail(&self, records: &[RecordType]) {
        *self.zone.failing.lock().unwrap_or_else(PoisonError::into_inner) = records.to_vec();
    }

    pub(super) fn addresses(&self, name: &str, ttl: u32, addresses: &[&str]) -> Result {
        let parsed: std::result::Result<Vec<IpAddr>, _> = addresses.iter().map(|text| text.parse()).collect();
        let data = parsed?.into_iter().map(|address| match address {
            IpAddr::V4(address) => RData::A(address.into()),
            IpAddr::V6(address) => RData::AAAA(address.into()),
        });
        let (v4, v6): (Vec<_>, Vec<_>) = data.partition(|data| matches!(data, RData::A(_)));
        self.set(name, RecordType::A, ttl, v4)?;
        self.set(name, RecordType::AAAA, ttl, v6)
    }

    /// Priority, weight, port, target.
    pub(super) fn services(&self, name: &str, ttl: u32, services: &[(u16, u16, u16, &str)]) -> Result {
        let mut data = Vec::new();
        for (priority, weight, port, target) in services {
            data.push(RData::SRV(SRV::new(*priority, *weight, *port, Name::from_ascii(target)?)));
        }
        self.set(name, RecordType::SRV, ttl, data)
    }

    /// No name is known any more.
    pub(super) fn forget(&self) {
        self.zone.records.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn set(&self, name: &str, of: RecordType, ttl: u32, data: Vec<RData>) -> Result {
        let owner = Name::from_ascii(name)?;
        let records = data.into_iter().map(|data| Record::from_rdata(owner.clone(), ttl, data)).collect();
        let mut zone = self.zone.records.lock().unwrap_or_else(PoisonError::into_inner);
        zone.insert((owner.to_lowercase().to_ascii(), of), records);
        Ok(())
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Handler(Arc<Zone>);

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = true;
        let mut records = Vec::new();
        if let Ok(info) = request.request_info() {
            let failing = self.0.failing.lock().unwrap_or_else(PoisonError::into_inner);
            if failing.contains(&info.query.query_type()) {
                metadata.response_code = ResponseCode::ServFail;
            }
        }
        if metadata.response_code != ResponseCode::ServFail
            && let Ok(info) = request.request_info()
        {
            let name = info.query.name().to_string();
            let zone = self.0.records.lock().unwrap_or_else(PoisonError::into_inner);
            records = zone.get(&(name.clone(), info.query.query_type())).cloned().unwrap_or_default();
            if !zone.keys().any(|(known, _)| *known == name) {
                metadata.response_code = ResponseCode::NXDomain;
            }
        }
        let answer = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            &records,
            std::iter::empty(),
            std::iter::empty(),
            std::iter::empty(),
        );
        response.send_response(answer).await.unwrap_or_else(|_| {
            let failed = Metadata::new(0, MessageType::Response, OpCode::Query);
            hickory_server::proto::op::Header { metadata: failed, counts: Default::default() }.into()
        })
    }
}
