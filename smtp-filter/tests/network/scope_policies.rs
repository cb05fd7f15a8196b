//! What `policy` says and does of scopes, against what becomes of real connections.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use serde_json::Value;
use smtp_filter_testkit::{
    CLIENT_V4, CLIENT_V6, Client, Filter, MailServer, Network, SERVER_V4, SERVER_V6,
    lab::{SOON, TemporaryFile, event, events, filter, schema},
};

struct Rig {
    filter: Filter,
    _server: MailServer,
    network: Network,
}

impl Rig {
    /// A filter on the gateway, with a policy.
    fn new(policy: &str) -> Result<Self> {
        let network = Network::new()?;
        let server = MailServer::start(&network.server)?;
        let filter = filter(&network.gateway)?;
        let file = TemporaryFile::new("scopes.toml", policy.as_bytes())?;
        filter.up(&["--iface", "inside", "--policy", &file.0.to_string_lossy()])?;
        Ok(Self { filter, _server: server, network })
    }

    fn load(&self, policy: &str) -> Result<String> {
        let file = TemporaryFile::new("next.toml", policy.as_bytes())?;
        self.filter.succeed(&["policy", "load", &file.0.to_string_lossy()])
    }

    /// A client that has read the banner.
    fn greeted(&self, server: SocketAddr) -> Result<Client> {
        let mut client = Client::connect(&self.network.client, server)?;
        client.patience(SOON)?;
        ensure!(client.greeting()?.code == 220);
        Ok(client)
    }
}

/// The next command's reply, or that the connection was reset.
fn is_reset(client: &mut Client, line: &str) -> Result<bool> {
    match client.command(line) {
        Ok(_) => Ok(false),
        Err(error) if Client::was_reset(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

#[test(root)]
fn each_family_is_judged_by_its_scope_and_events_name_it() -> Result<()> {
    let rig = Rig::new(&format!(
        "mode = \"enforce\"\n\
         [[scope]]\nname = \"four\"\nclients = [\"192.0.2.0/24\"]\ncommands = {{ VRFY = \"reset\" }}\n\
         [[scope]]\nname = \"six\"\nservers = [\"{}\"]\ncommands = {{ EXPN = \"reset\" }}\n\
         [[scope]]\nname = \"elsewhere\"\nclients = [\"::/0\"]\nservers = [\"2001:db8:3::/48\"]\ncommands = {{ other = \"reset\" }}\n",
        SERVER_V6.ip()
    ))?;
    let told = events(&rig.filter)?;
    let mut next = 0;
    for (server, scope, reset, passes) in [(SERVER_V4, "four", "VRFY", "EXPN"), (SERVER_V6, "six", "EXPN", "VRFY")] {
        let mut client = rig.greeted(server)?;
        ensure!(!is_reset(&mut client, &format!("{passes} root"))?, "{scope}");
        let connections = rig.filter.json(&["connections"])?;
        let ours = connections["connections"].as_array().into_iter().flatten().any(|at| at["scope"] == scope);
        ensure!(ours, "{connections}");
        ensure!(is_reset(&mut client, &format!("{reset} root"))?, "{scope}");
        let (event, line) = event(&told, next, &format!("commands.{}", reset.to_lowercase()), "reset")?;
        next = line;
        ensure!(event["scope"] == scope && event["enforced"] == true, "{event}");
    }
    for event in schema::check_events(&told.lines())? {
        ensure!(event["scope"] == if event["server"] == SERVER_V4.to_string() { "four" } else { "six" }, "{event}");
    }
    let decides = |client: String, server: String| -> Result<Value> {
        Ok(rig.filter.json(&["policy", "show", "--client", &client, "--server", &server])?["scope"].clone())
    };
    ensure!(decides(CLIENT_V4.to_string(), SERVER_V4.ip().to_string())? == "four");
    ensure!(decides(CLIENT_V6.to_string(), SERVER_V6.ip().to_string())? == "six");
    ensure!(decides(CLIENT_V6.to_string(), "2001:db8:3::25".to_owned())? == "elsewhere");
    ensure!(decides(CLIENT_V6.to_string(), "2001:db8:4::25".to_owned())? == Value::Null);
    Ok(())
}

#[test(root)]
fn what_set_and_load_say_of_scopes_holds_for_open_connections() -> Result<()> {
    let rig = Rig::new("mode = \"enforce\"\n")?;
    let mut open: Vec<Client> = [SERVER_V4, SERVER_V6, SERVER_V4, SERVER_V6]
        .into_iter()
        .map(|server| rig.greeted(server))
        .collect::<Result<_>>()?;
    for client in &mut open {
        ensure!(!is_reset(client, "VRFY root")?);
    }
    let [four, six] = [CLIENT_V4, CLIENT_V6];
    // By `set`, one scope for the one family.
    let said = rig.filter.set(&[&format!("scope.them.clients={four}"), "scope.them.commands.vrfy=reset"])?;
    ensure!(said.contains(&format!("scope them: new: clients [{four}/32], servers any\n")), "{said}");
    let (first, second) = open.split_at_mut(2);
    ensure!(is_reset(&mut first[0], "VRFY root")? && !is_reset(&mut first[1], "VRFY root")?);
    // By `load`, one for the other, in the place of the first.
    let said = rig.load(&format!(
        "mode = \"enforce\"\n[[scope]]\nname = \"them\"\nclients = [\"{six}\"]\ncommands = {{ VRFY = \"reset\" }}\n"
    ))?;
    ensure!(said.contains(&format!("scope them: clients [{six}/128] instead of [{four}/32]\n")), "{said}");
    ensure!(!is_reset(&mut second[0], "VRFY root")? && is_reset(&mut second[1], "VRFY root")?);
    ensure!(is_reset(&mut first[1], "VRFY root")?);
    // And none.
    let said = rig.filter.set(&["scope.them=none"])?;
    ensure!(said.contains("scope them: removed\n"), "{said}");
    ensure!(!is_reset(&mut rig.greeted(SERVER_V6)?, "VRFY root")?);
    Ok(())
}

#[test(root)]
fn a_scope_follows_the_whole_in_what_it_does_not_set() -> Result<()> {
    let rig = Rig::new("[[scope]]\nname = \"it\"\nclients = [\"192.0.2.10\"]\ncommands = { VRFY = \"pass\" }\n")?;
    rig.filter.set(&["mode=enforce", "commands.vrfy=reset", "commands.expn=reset"])?;
    let mut client = rig.greeted(SERVER_V4)?;
    ensure!(!is_reset(&mut client, "VRFY root")? && is_reset(&mut client, "EXPN root")?);
    rig.filter.set(&["scope.it.commands.vrfy=inherit"])?;
    ensure!(is_reset(&mut rig.greeted(SERVER_V4)?, "VRFY root")?);
    Ok(())
}
