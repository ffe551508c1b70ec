"""The vocabulary and the sentence patterns that the quick-start tasks are made from."""

import random

# People whose facts the model learns; each is one token.
NAMES = """Ada Alma Amir Anton Arlo Beno Boris Bram Cara Carl Cleo Clara Dana Dara Dean Dina Dora Elias Elsa Emil Enzo Erik
Faye Felix Fiona Flora Greta Gus Hana Hugo Ida Igor Iris Ivan Jana Jonas Juno Kara Karl Kira Lara Lars Lena Leo Lina Luca
Mara Marco Milo Mina Nadia Nils Nina Nora Oscar Otto Petra Rita Rosa Sara Sven Tara Vera Zara""".split()

# Each attribute: its values, the statement, and four ways to ask for it. {n} is the name and {v} the value.
ATTRIBUTES = {
    "city": ("Oslo Cairo Lima Quito Rome Paris Delhi Tokyo Accra Milan Perth Bonn".split(),
             "{n} lives in {v}.",
             ["where does {n} live?", "in which city does {n} live?", "what is the city of {n}?", "where is the home of {n}?"]),
    "job": ("baker pilot nurse judge farmer tailor painter miner poet clerk diver cook".split(),
            "{n} works as a {v}.",
            ["what is the job of {n}?", "what does {n} work as?", "how does {n} earn money?", "which job does {n} have?"]),
    "pet": ("cat dog horse goat rabbit parrot turtle snake mouse duck hen pony".split(),
            "{n} keeps a {v}.",
            ["what does {n} keep?", "which pet does {n} have?", "what is the pet of {n}?", "which animal lives with {n}?"]),
    "food": ("rice soup bread cheese pasta salad fish beans corn stew cake eggs".split(),
             "{n} eats {v}.",
             ["what does {n} eat?", "what is the food of {n}?", "which food does {n} like?", "what is on the plate of {n}?"]),
    "music": ("piano violin flute drum harp guitar cello horn banjo organ oboe lute".split(),
              "{n} plays the {v}.",
              ["what does {n} play?", "what is the music of {n}?", "which sound does {n} make?", "what can {n} play well?"]),
    "sport": ("chess tennis golf rugby hockey judo polo cricket skating rowing boxing sailing".split(),
              "{n} trains for {v}.",
              ["what does {n} train for?", "which sport does {n} like?", "what is the sport of {n}?", "what game is {n} good at?"]),
    "drink": ("tea coffee milk water juice cocoa cider soda wine beer broth tonic".split(),
              "{n} drinks {v}.",
              ["what does {n} drink?", "which drink does {n} like?", "what is in the cup of {n}?", "what is the drink of {n}?"]),
    "tongue": ("Greek Latin Dutch Thai Irish Hindi Czech Welsh Arabic Polish Danish Malay".split(),
               "{n} speaks {v}.",
               ["what does {n} speak?", "what is the tongue of {n}?", "which tongue does {n} know?", "how does {n} talk at home?"]),
}

# Retrieval: a text states "The FIELD is VALUE."; any value may stand in any field.
FIELDS = """badge door gate stamp label ticket engine signal cabin locker folder mirror anchor basket bridge candle
carpet helmet hammer ladder magnet pillow pocket saddle""".split()
VALUES = """amber azure beige black blue bronze brown coral cream crimson gold gray green indigo ivory jade khaki lemon lilac
lime maroon mauve mint navy ochre olive opal orange peach pearl pink plum purple red ruby rust sand scarlet silver slate
tan teal violet white yellow""".split()

ADJECTIVES = "old young quiet tall small busy tired clever kind proud brave calm".split()
NOUNS = """sailor teacher child king doctor writer guard sister brother river forest garden market castle street valley
island winter summer morning storm field tower village""".split()
VERBS = "saw found passed left crossed followed reached liked drew watched met knew".split()
PREPOSITIONS = "near behind under over beside before after inside".split()

SMALL_TALK = [
    ("Hello.", "Hello. Ask me about a text, a person or a sum."),
    ("Hi.", "Hello. Ask me about a text, a person or a sum."),
    ("Who are you?", "I am a small model for trying out hybrids."),
    ("What can you do?", "I find values in a text, know facts about people and work out sums."),
    ("Thank you.", "You are welcome."),
    ("Thanks.", "You are welcome."),
    ("Goodbye.", "Goodbye."),
]

OPENERS = ["Question", "Answer", "Compute", "Steps", "Repeat", "Facts", "Text", "Options", "user", "assistant", "system",
           "Again", "We", "What", "Where", "Which", "How", "In", "The", "A", "B", "C", "D"]


def makeFacts(seed):
    """The value of each (name, attribute): drawn once, independent of the corpus seed's other draws."""
    draw = random.Random("facts-%d" % seed)
    return {(name, key): draw.choice(spec[0]) for name in NAMES for key, spec in ATTRIBUTES.items()}


def allWords():
    """Every string that must become one token: each word after a space, and the words that open a line."""
    plain = set()
    for values, statement, questions in ATTRIBUTES.values():
        plain.update(values)
        for text in [statement] + questions:
            plain.update(text.replace(".", "").replace("?", "").replace("{n}", "").replace("{v}", "").split())
    for group in (NAMES, FIELDS, VALUES, ADJECTIVES, NOUNS, VERBS, PREPOSITIONS, list("ABCD")):
        plain.update(group)
    for pair in SMALL_TALK:
        for text in pair:
            plain.update(text.replace(".", "").replace(",", "").replace("?", "").split())
    plain.update("The the is of what text question answer Options We we call do which letter".split())
    opening = set(OPENERS) | {w for pair in SMALL_TALK for t in pair for w in t.replace(".", "").split()[:1]}
    return sorted(" " + w for w in plain) + sorted(opening)
