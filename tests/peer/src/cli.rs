//! The command line.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::client::{self, Query};
use crate::node;
use crate::store::{self, NodeType, Store};
use crate::token::{self, Permission};

/// A libp2p node with the interfaces of a celestia-node, for tests.
#[derive(Parser)]
#[command(name = "celestia", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Manage a light node
    Light(NodeCommand),
    /// Manage a full node
    Full(NodeCommand),
    /// Manage a bridge node
    Bridge(NodeCommand),
    /// Ask a running node about its p2p host
    #[command(subcommand)]
    P2p(P2pCommand),
}

#[derive(Args)]
struct NodeCommand {
    #[command(subcommand)]
    action: NodeAction,
}

#[derive(Subcommand)]
enum NodeAction {
    /// Run the node until it is told to stop
    Start(StartArgs),
    /// Print a token for the node's RPC
    Auth {
        /// What the token allows
        level: Permission,
        #[command(flatten)]
        store: StoreArgs,
    },
}

#[derive(Subcommand)]
enum P2pCommand {
    /// Print the node's peer id and addresses
    Info(AccessArgs),
    /// Print the peers that the node is connected to
    Peers(AccessArgs),
}

#[derive(Args)]
struct StoreArgs {
    /// The node's data directory [default: $HOME/.celestia-<type>]
    #[arg(long = "node.store", env = "CELESTIA_HOME", value_name = "DIR")]
    path: Option<PathBuf>,
}

#[derive(Args)]
struct StartArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Addresses of peers to connect to, with /p2p/<id>; may be repeated
    #[arg(long = "headers.trusted-peers", value_name = "A,B")]
    trusted_peers: Vec<String>,
    #[arg(long = "p2p.listen", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED), hide = true)]
    p2p_listen: IpAddr,
    /// TCP port of the p2p host
    #[arg(long = "p2p.port", default_value_t = 2121)]
    p2p_port: u16,
    /// Address that RPC listens on
    #[arg(long = "rpc.addr", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    rpc_addr: IpAddr,
    /// TCP port of RPC
    #[arg(long = "rpc.port", default_value_t = 26658)]
    rpc_port: u16,
    /// Serve RPC without asking for tokens
    #[arg(long = "rpc.skip-auth")]
    skip_auth: bool,
    /// Fail as a node with an empty store does if no trusted peer can be reached
    #[arg(long)]
    require_peers: bool,
}

#[derive(Args)]
struct AccessArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Token for the RPC [default: made from the store's secret]
    #[arg(long)]
    token: Option<String>,
    /// URL of the RPC
    #[arg(long, default_value = "http://127.0.0.1:26658")]
    url: String,
}

impl Cli {
    /// Does what the command line asks for.
    pub async fn run(self) -> Result<()> {
        match self.command {
            Command::Light(command) => command.run(NodeType::Light).await,
            Command::Full(command) => command.run(NodeType::Full).await,
            Command::Bridge(command) => command.run(NodeType::Bridge).await,
            Command::P2p(P2pCommand::Info(access)) => access.run(Query::Info).await,
            Command::P2p(P2pCommand::Peers(access)) => access.run(Query::Peers).await,
        }
    }
}

impl NodeCommand {
    async fn run(self, node_type: NodeType) -> Result<()> {
        match self.action {
            NodeAction::Start(args) => node::run(args.into_options(node_type)?).await,
            NodeAction::Auth { level, store } => {
                let secret = store.open(node_type)?.secret_or_new()?;
                // On stdout, as in the real program: readers have to take the last line.
                println!("WARNING: anyone who has this token has {level:?} access to the node");
                println!("{}", token::sign(&secret, level));
                Ok(())
            }
        }
    }
}

impl StoreArgs {
    fn open(self, node_type: NodeType) -> Result<Store> {
        Ok(Store::at(match self.path {
            Some(path) => path,
            None => store::default_path(node_type)?,
        }))
    }
}

impl StartArgs {
    fn into_options(self, node_type: NodeType) -> Result<node::Options> {
        Ok(node::Options {
            node_type,
            store: self.store.open(node_type)?,
            trusted_peers: self.trusted_peers,
            p2p: (self.p2p_listen, self.p2p_port).into(),
            rpc: (self.rpc_addr, self.rpc_port).into(),
            skip_auth: self.skip_auth,
            require_peers: self.require_peers,
        })
    }
}

impl AccessArgs {
    async fn run(self, query: Query) -> Result<()> {
        let token = match self.token {
            Some(token) => token,
            None => client::token_from_store(self.store.path)?,
        };
        client::print(query, &self.url, &token).await
    }
}
