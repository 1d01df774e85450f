"""What is asked and answered in the synthetic mesh, and what people say beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec


class Topic(msgspec.Struct, frozen=True):
    """A question, and what the stages of a pipeline make of it."""

    question: str
    draft: str
    critique: str
    facts: str
    answer: str

    def output(self, stage: str) -> str:
        """What the stage of this name puts out."""
        return {"draft": self.draft, "critique": self.critique, "facts": self.facts}.get(stage, self.answer)


TOPICS: Final[Sequence[Topic]] = (
    Topic(
        "Why is the sky blue?",
        "The sky is blue because air scatters blue light.",
        "True, but it does not say why blue more than red, nor why the sky turns red in the evening.",
        "Scattering by molecules grows with the fourth power of the frequency of light.",
        "Air scatters short waves much more than long ones, so blue light reaches us from all over the sky. In the "
        "evening the light takes a longer way, the blue is scattered out of it, and red is left.",
    ),
    Topic(
        "How do I keep bread fresh for longer?",
        "Keep it in a bag and do not put it into the fridge.",
        "Good advice without a reason: say what the fridge does to bread, and what to do with a whole loaf.",
        "Starch recrystallises fastest a little above the freezing point, and hardly at all when frozen.",
        "Keep bread at room temperature in a cloth or paper bag, cut side down. The fridge makes it stale faster, for "
        "cold sets its starch. Slice and freeze what you will not eat in two days.",
    ),
    Topic(
        "What makes a good commit message?",
        "It says what was changed.",
        "The diff says what was changed. The message should say why, and what a reader can not see.",
        "A subject line of about fifty characters fits into most logs.",
        "One short line in the imperative that says what the change does, then a paragraph that says why: the problem, "
        "what was tried, and what a reader of the diff can not know.",
    ),
    Topic(
        "How do bees find their way home?",
        "Bees find home by the sun.",
        "The sun moves, and there are cloudy days: how do they cope with both?",
        "Bees see the polarisation of light, and so know where the sun is from a patch of blue sky.",
        "Bees steer by the sun and keep account of its movement with an inner clock. When it is hidden they read it "
        "from the polarisation of the sky, and near home they know landmarks and the smell of the hive.",
    ),
    Topic(
        "What is the difference between weather and climate?",
        "Weather is short, climate is long.",
        "Right in principle. An example would help, and a number for how long is long.",
        "Climate is usually taken over thirty years.",
        "Weather is what you get today: rain at noon, wind from the west. Climate is what you may expect at a place, "
        "taken over thirty years or so. You choose your clothes by the one, your wardrobe by the other.",
    ),
    Topic(
        "Explain public keys to a child.",
        "You have two keys, one is secret.",
        "A child will ask what the other one is for. Use something one can hold.",
        "Whoever has the open half can check what the secret half did, but can not do it himself.",
        "Imagine a stamp that only you own, and a picture of its print that everybody has. When a letter carries the "
        "print, all can see that it is yours, and nobody can make the stamp from the picture.",
    ),
    Topic(
        "How much water does a tomato plant need?",
        "Water it every day.",
        "Too simple: it depends on soil and heat, and little water often makes shallow roots.",
        "A grown plant takes one to two litres on a warm day.",
        "A grown tomato plant takes one to two litres on a warm day. Water the soil and not the leaves, in the "
        "morning, and rather much every second day than a little every day, so that the roots go deep.",
    ),
    Topic(
        "Why do cats purr?",
        "Cats purr because they are happy.",
        "They also purr when they are ill or afraid; the answer should hold for that, too.",
        "Purring lies between 25 and 150 hertz and is made by the muscles of the larynx.",
        "Cats purr when they are content, but also when they are hurt or afraid: it seems to calm them. Kittens purr "
        "to tell their mother that all is well. The sound comes from quick twitches of the larynx.",
    ),
    Topic(
        "Which sorting algorithm should I use?",
        "Use quicksort.",
        "Most people should use the one of their library. Say when that is not enough.",
        "Timsort is stable and takes linear time on sorted runs.",
        "The one your language brings: it is tested, and mostly stable. Think of another one only if the data does "
        "not fit into memory (merge sort), the keys are small integers (counting sort), or you need just the top ten "
        "(a heap).",
    ),
    Topic(
        "Plan a calm Sunday for two with little money.",
        "Go for a walk and cook something.",
        "Nice and thin: give the day a course, and something for bad weather.",
        "Many museums ask no entrance fee on one Sunday a month.",
        "Sleep long, and have breakfast with the phones in another room. Walk a way you do not know, with bread and "
        "apples in the bag. If it rains: a museum on its free day. Cook soup together, and read to each other.",
    ),
    Topic(
        "What does a federated network gain us?",
        "There is no single owner.",
        "Say what that means on a bad day: who can switch it off, who can read along, who can leave?",
        "Mail has been federated for more than forty years.",
        "Nobody can switch it off alone, and whoever is unhappy with a server takes another one and is still in touch "
        "with everyone. The price: rules are agreed upon and not decreed, so changes take longer.",
    ),
    Topic(
        "How do I start a conversation with a new neighbour?",
        "Say hello and introduce yourself.",
        "Good. Add one question that is easy to answer and does not pry.",
        "People like those better who ask them a second question about what they just said.",
        "Ring at a quiet hour, say your name and which door is yours, and ask something small: where is the best bread "
        "around here? Then ask once more about what you hear. Two minutes are enough for a beginning.",
    ),
    Topic(
        "Why does ice float on water?",
        "Ice is lighter than water.",
        "Why is it lighter? Most things shrink when they freeze.",
        "Ice takes about nine per cent more room than the water it came from.",
        "In ice each molecule holds four others at arm's length, and that open pattern takes nine per cent more room "
        "than the crowd in liquid water. So ice weighs less for its size, floats, and lakes freeze from above.",
    ),
    Topic(
        "Summarise what a hash function is good for.",
        "It makes a short number from a long text.",
        "That is what it does. What is it good for?",
        "Nobody is known to have found two texts with the same SHA-256.",
        "It gives any text a short name that changes when one letter does. So one can compare big files by small "
        "numbers, notice what was altered, and refer to a thing so that nobody can put another one in its place.",
    ),
)  # fmt: skip

# What each kind of stage is told to do, and whose output it reads if that stands before it.
STAGES: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "answer": ("Answer this question in a few clear sentences.\n", ()),
    "draft": ("Write a first short answer to this question.\n", ()),
    "facts": ("Name one fact that an answer to this question should hold.\n", ("draft",)),
    "critique": ("Name in two sentences what the draft gets wrong or leaves out.\n", ("draft",)),
    "revise": ("Write the improved answer only.\n", ("draft", "facts", "critique")),
}

PIPELINES: Final[Sequence[Sequence[str]]] = (
    ("answer",),
    ("draft", "critique", "revise"),
    ("draft", "revise"),
    ("draft", "facts", "critique", "revise"),
    ("answer",),
    ("draft", "critique", "revise"),
)

QUESTIONS_BACK: Final[Sequence[tuple[str, str]]] = (
    ("For whom is the answer: a child or a grown-up?", "For somebody of twelve, please."),
    ("May I use numbers, or would you rather have a picture?", "Numbers are fine."),
    ("How long may it be?", "Three sentences at most."),
)

SMALL_TALK: Final[Sequence[str]] = (
    "Good morning, everybody!",
    "Nice to see so many of you at work.",
    "Who is the critic here? That was a sharp one.",
    "I am only reading along today.",
    "That last answer helped me, thank you.",
    "Is somebody looking after the big model tonight?",
)

FAILURES: Final[Sequence[tuple[str, str]]] = (
    ("engine.out_of_memory", "The model does not fit beside what runs already."),
    ("engine.timeout", "The model took longer than my owner allows."),
    ("engine.failed", "The model's process ended unexpectedly."),
)


def topic_for(question: str) -> Topic:
    """What the agents say to a question: an answer to one of ours, else the truth about this mesh."""
    wanted = question.strip().rstrip("?.! ").casefold()
    for topic in TOPICS:
        if topic.question.rstrip("?.").casefold() == wanted:
            return topic
    shown = " ".join(question.split())
    shown = shown if len(shown) <= 120 else shown[:119] + "…"
    return Topic(
        question,
        f"You ask: {shown} There is no model in this demonstration, so this is only a sketch of an answer.",
        "The draft admits that nobody thought about the question. It should say where somebody would.",
        "Every message you see here was signed by its sender and checked by this program.",
        f"You ask: {shown} The agents of this demonstration are made up and run no model, so they can not know. In a "
        "room with real agents one of them would answer with the model it announced, and sign it as this was signed.",
    )
