//! The page of the example in a real browser: what is pressed does something to real servers, and what happens to them
//! is seen.
//!
//! Pictures of it are kept in `target/screenshots`.

#![expect(clippy::print_stdout, reason = "says where it has left its pictures, or why there are none")]

mod example;
mod outage;
mod web_driver;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use rr_tests::wait::wait_until;
use serde_json::Value;

use example::Example;
use web_driver::Browser;

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Long enough for anything that ought to happen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// The page of one instance.
struct Page {
    browser: Browser,
    pictures: PathBuf,
}

impl Page {
    async fn of(url: &str) -> Result<Self> {
        let pictures = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
        tokio::fs::create_dir_all(&pictures).await?;
        let browser = Browser::start().await?;
        browser.view(1440, 900, "light").await?;
        browser.open(&format!("{url}/")).await?;
        Ok(Self { browser, pictures })
    }

    /// Waits until a script says yes.
    async fn until(&self, what: &str, script: &str) -> Result {
        let script = format!("return Boolean({script})");
        let looked = wait_until(PATIENCE, what, async || {
            Ok::<_, Box<dyn Error + Send + Sync>>(self.browser.run(&script).await? == Value::Bool(true))
        });
        if let Err(error) = looked.await {
            let text = self.browser.run("return document.body.innerText").await?;
            return Err(format!("{error}\nThe page:\n{}", text.as_str().unwrap_or_default()).into());
        }
        Ok(())
    }

    async fn text(&self, selector: &str) -> Result<String> {
        let text =
            self.browser.run(&format!("return document.querySelector('{selector}').textContent")).await?;
        Ok(text.as_str().ok_or("text")?.to_owned())
    }

    /// Waits until the card of a node shows this state, and says so in words that begin like this.
    async fn node(&self, name: &str, state: &str, word: &str) -> Result {
        let what = format!("`{name}` to be shown as \"{word} …\"");
        let card = format!("document.querySelector('.node[data-node={name}]')");
        let script = format!(
            "{card}?.dataset.state === '{state}' && {card}.querySelector('.word').textContent.startsWith('{word}')"
        );
        self.until(&what, &script).await
    }

    /// Presses a button of a server, once it can be pressed.
    async fn server(&self, name: &str, action: &str) -> Result {
        let button = format!("[data-server={name}] [data-action={action}]");
        self.until("the button", &format!("document.querySelector('{button}')?.disabled === false")).await?;
        self.browser.press(&button).await
    }

    /// Writes, reads a hundred times, and says which nodes have answered.
    async fn burst(&self) -> Result<Vec<String>> {
        self.browser.press("#burst button").await?;
        let done =
            "!document.querySelector('#burst button').disabled && document.querySelector('#strip.fresh')";
        self.until("the end of a hundred reads", done).await?;
        assert_eq!(self.text("#verdict .sum").await?, "100 of 100 reads saw the write");
        let cells = "return [...document.querySelectorAll('#strip li')].map((cell) => \
                     ({ node: cell.dataset.node, label: cell.getAttribute('aria-label'), missed: cell.matches('.missed') }))";
        let cells = self.browser.run(cells).await?;
        let cells = cells.as_array().ok_or("cells")?;
        assert_eq!(cells.len(), 100);
        let nodes = cells.iter().enumerate().map(|(nth, cell)| {
            let node = cell["node"].as_str().ok_or("a node")?;
            let label = cell["label"].as_str().ok_or("a label")?;
            assert_eq!(cell["missed"], false, "{label}");
            assert!(label.starts_with(&format!("Read {}: {node}, saw the write", nth + 1)), "{label}");
            Ok(node.to_owned())
        });
        nodes.collect()
    }

    /// Asks where a statement would go, with each of two hints.
    async fn explains(&self) -> Result {
        for (hint, kind, expected) in [("replica", "read", "replica-"), ("primary", "read", "primary")] {
            let sql = format!("SELECT 1 /* rr:{hint} */");
            self.browser.run(&format!("document.querySelector('#explain-sql').value = '{sql}'")).await?;
            self.browser.press("#explain button").await?;
            let taken = "#explain-answer li[data-state=ok]";
            let answered = format!(
                "document.querySelector('#explain-answer [data-kind={kind}]') && \
                 document.querySelector('{taken}')?.dataset.node.startsWith('{expected}')"
            );
            self.until("an explanation", &answered).await?;
        }
        Ok(())
    }

    async fn healthy(&self) -> Result {
        self.node("primary", "ok", "Takes writes").await?;
        for replica in ["replica-1", "replica-2"] {
            self.node(replica, "ok", "Serves reads").await?;
        }
        self.until("all to be well", "document.querySelector('#status-word').textContent === 'Healthy'").await
    }

    /// Whether Prometheus is told what the page shows: the epoch, all nodes, and which of them do not answer.
    async fn agrees_with_its_metrics(&self, silent: &[&str]) -> Result {
        let text = self.browser.run("return fetch('/metrics').then((answer) => answer.text())").await?;
        let text = text.as_str().ok_or("text")?;
        let epoch = text.lines().find_map(|line| line.strip_prefix("rr_epoch ")).ok_or("an epoch")?;
        assert_eq!(self.text("#epoch").await?, format!("Epoch {epoch}"));
        let cards = "return [...document.querySelectorAll('.node')].map((card) => [card.dataset.node, card.dataset.state])";
        let cards = self.browser.run(cards).await?;
        for card in cards.as_array().ok_or("cards")? {
            let (name, state) = (card[0].as_str().ok_or("a name")?, card[1].as_str().ok_or("a state")?);
            let series = format!("rr_node_health{{rr_node=\"{name}\",");
            let told = text.lines().find(|line| line.starts_with(&series)).ok_or(series)?;
            assert_eq!(told.ends_with(" 3"), state == "bad", "{told}: {state}");
            assert_eq!(state == "bad", silent.contains(&name), "{name}: {state}");
        }
        Ok(())
    }

    async fn picture(&self, name: &str, width: u32, colours: &str) -> Result {
        let settled = "document.querySelector('#strip').getAnimations({ subtree: true }).length === 0";
        self.until("the cells to be in place", settled).await?;
        let file = self.pictures.join(format!("axum-diesel-{name}-{width}-{colours}.png"));
        self.browser.picture(&file, width, colours).await?;
        let too_wide = "return document.documentElement.scrollWidth - innerWidth";
        assert_eq!(self.browser.run(too_wide).await?, 0, "nothing is cut off at {width} pixels");
        self.browser.view(1440, 900, "light").await
    }
}

#[tokio::test]
async fn what_is_done_to_servers_is_seen_on_the_page() -> Result {
    if web_driver::is_absent() {
        return Ok(());
    }
    let example = Example::start(2).await?;
    let page = Page::of(&example.urls[0]).await?;
    page.healthy().await?;
    assert_eq!(page.text("h1").await?, "Notes · instance 1");
    page.until("statements of the page's own traffic", "document.querySelectorAll('#last tr').length > 5")
        .await?;
    page.until("the reasons of these", "document.querySelector('#why [data-reason=replica]')").await?;
    page.explains().await?;
    let drawn = "[...document.querySelectorAll('canvas')].every((canvas) => canvas.getContext('2d')\
                 .getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0))";
    page.until("the charts to be drawn", drawn).await?;

    page.agrees_with_its_metrics(&[]).await?;

    page.burst().await?;
    page.picture("healthy", 1440, "light").await?;
    page.picture("healthy", 1440, "dark").await?;

    page.server("replica-1", "pause").await?;
    page.node("replica-1", "warn", "Behind by").await?;
    let age = "document.querySelector('#c-age .legend b').textContent.match(/^[2-9][.]. s|^[0-9]{2}[.]. s/)";
    page.until("the chart to show that its data grows old", age).await?;
    let nodes = page.burst().await?;
    assert!(
        !nodes.contains(&"replica-1".to_owned()),
        "a paused replica does not have what was written: {nodes:?}"
    );

    page.server("replica-2", "pause").await?;
    page.node("replica-2", "warn", "Behind by").await?;
    page.browser.press("#across button").await?;
    page.until("three answers", "document.querySelectorAll('#steps li').length === 3").await?;
    let steps = page.text("#steps").await?;
    assert!(steps.contains("Instance 2, with the cookie: it is there"), "{steps}");
    assert!(steps.contains("Instance 2, without the cookie: not there yet"), "{steps}");
    assert!(page.burst().await?.iter().all(|node| node == "primary"));
    page.browser.press("#heal-all").await?;
    page.healthy().await?;

    page.server("replica-2", "kill").await?;
    page.node("replica-2", "bad", "Out: does not answer").await?;
    page.until("the event", "document.querySelector('#log').textContent.includes('replica-2 is unhealthy')")
        .await?;
    assert_eq!(page.text("#status-word").await?, "Degraded");
    page.agrees_with_its_metrics(&["replica-2"]).await?;
    assert!(!page.burst().await?.contains(&"replica-2".to_owned()));
    page.picture("degraded", 1440, "light").await?;
    page.picture("degraded", 360, "light").await?;
    page.picture("degraded", 360, "dark").await?;
    page.server("replica-2", "kill").await?;
    page.healthy().await?;

    page.server("replica-1", "network").await?;
    page.until("what is done", "document.querySelector('[data-server=replica-1]').dataset.state === 'warn'")
        .await?;
    let slow = "[...document.querySelectorAll('.node[data-node=replica-1] dt')].find((dt) => \
                dt.textContent === 'Response').nextSibling.textContent.match(/^([5-9][0-9]|[0-9]{3,}) ms|^[0-9]+[.][0-9] s/)";
    page.until("slow answers", slow).await?;
    page.burst().await?;
    page.browser.press("#heal-all").await?;
    page.until("all to be undone", "document.querySelectorAll('#servers [data-state=ok]').length === 3")
        .await?;

    assert_eq!(page.browser.complaints().await?, Vec::<String>::new());
    example.stop().await?;
    page.until("the page to say that it has lost its connection", "!document.querySelector('#lost').hidden")
        .await?;
    assert_eq!(page.text("#live-word").await?, "No connection");
    page.browser.quit().await
}

#[tokio::test]
async fn the_page_can_be_used_with_a_keyboard_and_without_motion() -> Result {
    if web_driver::is_absent() {
        return Ok(());
    }
    let example = Example::start(1).await?;
    let page = Page::of(&example.urls[0]).await?;
    page.healthy().await?;
    // With the Tab key one gets to everything that can be pressed, and sees where one is.
    let reachable = "return [...document.querySelectorAll('button:not(:disabled), a, select, input, canvas')]\
                     .filter((one) => one.getClientRects().length).length";
    let reachable = page.browser.run(reachable).await?.as_u64().ok_or("a number")?;
    let step = "const one = document.activeElement; if (!one || one === document.body || one.seen) return null; one.seen = true; \
                return { pressable: one.matches('button, a, select, input, canvas'), text: one.outerHTML, \
                ring: getComputedStyle(one).outlineStyle };";
    let mut reached = 0;
    loop {
        page.browser.tab().await?;
        let at = page.browser.run(step).await?;
        if at.is_null() {
            break;
        }
        assert_ne!(at["ring"], "none", "{at}");
        reached += u64::from(at["pressable"] == true);
    }
    assert_eq!(reached, reachable);
    assert!(reached > 25, "{reached}");
    let nameless = "return [...document.querySelectorAll('button, a, select, input')].filter((one) => \
                    !(one.getAttribute('aria-label') ?? (one.labels?.[0] ?? one).textContent).trim()).map((one) => one.outerHTML)";
    assert_eq!(page.browser.run(nameless).await?, serde_json::json!([]));

    let background = "return getComputedStyle(document.body).backgroundColor";
    let light = page.browser.run(background).await?;
    for theme in ["light", "dark"] {
        page.browser.type_into("#theme", "\u{e007}").await?;
        assert_eq!(page.browser.run("return document.documentElement.dataset.theme").await?, theme);
    }
    assert_ne!(page.browser.run(background).await?, light);
    page.browser.open(&format!("{}/", example.urls[0])).await?;
    assert_eq!(
        page.browser.run("return document.documentElement.dataset.theme").await?,
        "dark",
        "it is remembered"
    );

    page.healthy().await?;
    page.browser.type_into("#c-age canvas", "\u{e012}").await?;
    page.until(
        "earlier values to be read out",
        "document.querySelector('#say').textContent.includes('2 s ago')",
    )
    .await?;
    assert!(
        page.text("#across-hint").await?.contains("--instances 2"),
        "there is no other instance to read on"
    );

    page.browser.calm().await?;
    page.until("all to stand still", "document.getAnimations().length === 0").await?;
    assert_eq!(page.browser.complaints().await?, Vec::<String>::new());
    page.browser.quit().await?;
    example.stop().await
}
