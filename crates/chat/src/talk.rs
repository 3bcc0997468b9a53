//! The built-in chat for many people at once, each with what they may do: conversations in this process, told as events.
//!
//! Who speaks is the principal that the service API let in, so that a conversation can do what they can and nothing else. A question waits for an
//! answer of the same principal; without one it is a no.

mod room;

use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use usher_admin::service::{ChosenModel, Service, ServiceError};
use usher_admin::talk::{FixedModel, Spoken, Talk, TalkError, TalkEvent};
use usher_model::change::{Door, Principal};

use crate::assistant::{Assistant, Event, ModelOptions, Purse};
use crate::client::{Connection, Person};
use crate::model::{Client, Guard};
use crate::tools::{Limits, Tools};
use room::Room;

/// Conversations that are remembered.
const MOST: usize = 100;
/// Those of one principal.
const MOST_OF_ONE: usize = 20;
/// How long one is remembered that nobody goes on with.
const KEPT: Duration = Duration::from_secs(8 * 3600);
/// How long a person may think.
const THINKING: Duration = Duration::from_secs(5 * 60);
/// How often it is looked whether a question shall not be asked any more.
const LOOK: Duration = Duration::from_millis(200);

/// The chat.
pub struct Chat {
    service: Arc<Service>,
    tools: Arc<Tools>,
    fixed: Option<Fixed>,
    purse: Arc<Purse>,
    conversations: Mutex<HashMap<String, Conversation>>,
    questions: Arc<Questions>,
}

/// A model that the settings name.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// The model.
    pub options: ModelOptions,
    /// What names it, such as `chat.model of the settings`.
    pub by: &'static str,
}

struct Conversation {
    who: Principal,
    assistant: Arc<Assistant>,
    /// Since when its model has been chosen; `None` where none was, or the settings name it.
    led_since: Option<u64>,
    room: Arc<Room>,
    used: Instant,
}

/// The questions that are open, by id.
#[derive(Default)]
struct Questions(Mutex<HashMap<String, (Principal, SyncSender<bool>)>>);

/// Asks the person of one conversation.
struct Asker {
    who: Principal,
    room: Arc<Room>,
    questions: Arc<Questions>,
}

impl Chat {
    /// A chat over this service, led by this model, or else by the one that is chosen at runtime; without either it understands plain sentences. `purse`
    /// is what a model may spend.
    #[must_use]
    pub fn new(service: Arc<Service>, fixed: Option<Fixed>, purse: Purse) -> Self {
        Self {
            tools: Arc::new(Tools::new(Arc::clone(&service), Limits::default())),
            service,
            fixed,
            purse: Arc::new(purse),
            conversations: Mutex::default(),
            questions: Arc::default(),
        }
    }

    /// The conversation to go on with, marked as worked on.
    fn enter(
        &self,
        who: &Principal,
        id: Option<&str>,
        sentence: &str,
    ) -> Result<(String, Arc<Assistant>, Arc<Room>), TalkError> {
        let mut all = lock(&self.conversations);
        all.retain(|_, one| one.used.elapsed() < KEPT || one.room.is_busy());
        let id = match id {
            Some(id) => {
                of(&mut all, who, id)?;
                id.to_owned()
            }
            None => {
                let own = all.values().filter(|one| one.who == *who).count();
                if own >= MOST_OF_ONE || all.len() >= MOST {
                    // The oldest that nobody works on makes room, one's own first.
                    let oldest = all
                        .iter()
                        .filter(|(_, one)| !one.room.is_busy() && (own < MOST_OF_ONE || one.who == *who))
                        .min_by_key(|(_, one)| one.used)
                        .map(|(id, _)| id.clone());
                    all.remove(&oldest.ok_or(TalkError::TooMany)?);
                }
                let id = uuid::Uuid::new_v4().simple().to_string();
                let room = Arc::<Room>::default();
                let person = Arc::new(Asker {
                    who: who.clone(),
                    room: Arc::clone(&room),
                    questions: Arc::clone(&self.questions),
                });
                let connection = Connection::within(Arc::clone(&self.tools), who.clone(), person, &id);
                let assistant = match &self.fixed {
                    Some(fixed) => Assistant::with_model(connection, fixed.options.clone()),
                    None => Assistant::plain(connection),
                };
                let assistant = Arc::new(assistant.with_purse(Arc::clone(&self.purse), &who.name, false));
                let one =
                    Conversation { who: who.clone(), assistant, led_since: None, room, used: Instant::now() };
                all.insert(id.clone(), one);
                id
            }
        };
        let one = all.get_mut(&id).ok_or(TalkError::TooMany)?;
        if one.room.is_busy() {
            return Err(TalkError::Busy);
        }
        let since = self.service.model_since();
        if self.fixed.is_none() && since != one.led_since {
            let chosen = self.service.chosen_model().map_err(unopened)?;
            one.assistant.follow(chosen.map(|model| asked(&self.service, model)));
            one.led_since = since;
        }
        if !one.room.begin(sentence) {
            return Err(TalkError::Busy);
        }
        Ok((id, Arc::clone(&one.assistant), Arc::clone(&one.room)))
    }
}

impl Talk for Chat {
    fn say(&self, who: &Principal, conversation: Option<&str>, sentence: &str) -> Result<Spoken, TalkError> {
        let who = &at_the_chat(who);
        let (id, assistant, room) = self.enter(who, conversation, sentence)?;
        let events = room.listen();
        let sentence = sentence.to_owned();
        // It goes on without its listener, but for the model: what was agreed to is carried out to its end.
        drop(tokio::spawn(async move {
            let mut busy = Busy { room, ended: None };
            let mut hear = |event: Event<'_>| busy.room.note(told(event));
            let given_up = Arc::clone(&busy.room).given_up();
            let outcome = assistant.say_until(&sentence, &mut hear, given_up).await;
            busy.ended = Some(match outcome {
                Ok(outcome) => TalkEvent::Ended { done: outcome.done, error: None },
                Err(error) => TalkEvent::Ended { done: false, error: Some(error.to_string()) },
            });
        }));
        Ok(Spoken { conversation: id, events })
    }

    fn hear(&self, who: &Principal, conversation: &str) -> Result<Spoken, TalkError> {
        let mut all = lock(&self.conversations);
        let room = Arc::clone(&of(&mut all, &at_the_chat(who), conversation)?.room);
        Ok(Spoken { conversation: conversation.to_owned(), events: room.from_the_beginning() })
    }

    fn stop(&self, who: &Principal, conversation: &str) -> Result<bool, TalkError> {
        let mut all = lock(&self.conversations);
        Ok(of(&mut all, &at_the_chat(who), conversation)?.room.stop())
    }

    fn answer(&self, who: &Principal, question: &str, agrees: bool) -> bool {
        let who = &at_the_chat(who);
        let mut open = lock(&self.questions.0);
        if open.get(question).is_none_or(|(asked, _)| asked != who) {
            return false;
        }
        open.remove(question).is_some_and(|(_, answer)| answer.try_send(agrees).is_ok())
    }

    fn fixed(&self) -> Option<FixedModel> {
        let Fixed { options, by } = self.fixed.as_ref()?;
        let url = Client::new(ModelOptions { api_key: None, ..options.clone() }).shown();
        let has_key = options.api_key.is_some();
        Some(FixedModel { url, name: options.model.clone(), api: options.speaks(), has_key, by })
    }

    fn leads(&self) -> Option<String> {
        match &self.fixed {
            Some(fixed) => Some(fixed.options.model.clone()),
            None => self.service.model_name(),
        }
    }

    fn attempt(&self, model: Option<ChosenModel>) -> BoxFuture<'static, Result<String, String>> {
        let client = match (model, &self.fixed) {
            (Some(model), _) => Ok(Some(asked(&self.service, model))),
            (None, Some(fixed)) => Ok(Some(Client::new(fixed.options.clone()))),
            (None, None) => match self.service.chosen_model() {
                Ok(chosen) => Ok(chosen.map(|model| asked(&self.service, model))),
                Err(error) => Err(error.to_string()),
            },
        };
        async move {
            let client = client?.ok_or("no model leads the chat")?;
            client.attempt().await.map_err(|error| error.to_string())
        }
        .boxed()
    }
}

/// What asks a model that was chosen at runtime.
fn asked(service: &Arc<Service>, model: ChosenModel) -> Client {
    let ChosenModel { url, name, api, key, .. } = model;
    let service = Arc::clone(service);
    let guard: Guard = Arc::new(move |host, port| service.keeps_away_from(host, port));
    Client::guarded(ModelOptions { base_url: url, api_key: key, model: name, stream: true, api }, guard)
}

fn unopened(error: ServiceError) -> TalkError {
    TalkError::NoModel(error.to_string())
}

/// Whoever speaks here stands in the chat's door, with the rights that they came with: what is said of chats holds for them too.
fn at_the_chat(who: &Principal) -> Principal {
    Principal { door: Door::Chat, ..who.clone() }
}

/// A conversation of this principal's, used now.
fn of<'a>(
    all: &'a mut HashMap<String, Conversation>,
    who: &Principal,
    id: &str,
) -> Result<&'a mut Conversation, TalkError> {
    let one = all.get_mut(id).filter(|one| one.who == *who);
    let one = one.ok_or_else(|| TalkError::Unknown(crate::tools::clean(id, 64)))?;
    one.used = Instant::now();
    Ok(one)
}

/// Marks a conversation as worked on until it is dropped, and then says how the sentence ended.
struct Busy {
    room: Arc<Room>,
    ended: Option<TalkEvent>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let broken = || TalkEvent::Ended { done: false, error: Some("it broke off".to_owned()) };
        self.room.end(self.ended.take().unwrap_or_else(broken));
    }
}

impl Person for Asker {
    fn confirm(&self, question: &str) -> bool {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let (answer, answered) = sync_channel(1);
        lock(&self.questions.0).insert(id.clone(), (self.who.clone(), answer));
        self.room.note(TalkEvent::Question { id: id.clone(), text: question.to_owned() });
        let end = Instant::now() + THINKING;
        let mut said = None;
        // Whoever asked may be back any moment: a page that is loaded anew leaves for as long as that takes.
        while said.is_none() && Instant::now() < end && !self.room.is_stopped() {
            match answered.recv_timeout(LOOK) {
                Ok(agrees) => said = Some(agrees),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        lock(&self.questions.0).remove(&id);
        if let Some(agree) = said {
            self.room.is_attended();
            self.room.note(TalkEvent::Answered { id, agree });
        }
        said.unwrap_or(false)
    }
}

fn told(event: Event<'_>) -> TalkEvent {
    match event {
        Event::Say(text) => TalkEvent::Said { text: text.to_owned() },
        Event::Plan(text) => TalkEvent::Plan { text: text.to_owned() },
        Event::Applied { revision } => TalkEvent::Applied { revision },
        Event::Tool { name } => TalkEvent::Tool { name: name.to_owned() },
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
