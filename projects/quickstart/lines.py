"""Makes training lines and held-out items: retrieval, knowledge, arithmetic, copying and small talk, plain and as chat.

A document is a list of (text, loss weight) with its number of tokens; a line is documents up to the sequence length.
"""

import random
import zlib

import words

END = "<|endoftext|>"
LETTERS = "ABCD"
# A stated field, its tokens, and how far before the sentence's end its value begins.
STATEMENT, STATEMENT_TOKENS, VALUE_BACK = "We call the %s %s.", 6, 2
ASKED = "what do we call the %s?"
REPLY = "e call the %s"  # after a small or a capital "w"
# Loss weights. A retrieval line holds few answers and an arithmetic line many worked digits: the weights even them out.
FILLER, FORM, WORKED, FACT, CHOICE, ANSWER = 0.01, 0.2, 0.05, 0.2, 0.5, 1.0


def userTurn(text):
    return "<|im_start|>user\n" + text + "<|im_end|>\n<|im_start|>assistant\n"


USER_TURN_TOKENS = 8   # im_start user \n ... im_end \n im_start assistant \n
REPLY_END_TOKENS = 2   # im_end \n


def capital(text):
    return text[0].upper() + text[1:]


class Maker:
    """Draws documents of every kind from one random stream; `facts` are those of words.makeFacts."""

    def __init__(self, seed, facts):
        self.rng = random.Random(seed)
        self.facts = facts
        self.factKeys = sorted(facts)

    # Retrieval -------------------------------------------------------------------------------------------------
    def fillerSentence(self):
        pick = self.rng.choice
        if self.rng.random() < 0.5:
            return "The %s %s %s the %s %s the %s." % (pick(words.ADJECTIVES), pick(words.NOUNS), pick(words.VERBS),
                                                       pick(words.NOUNS), pick(words.PREPOSITIONS), pick(words.NOUNS)), 10
        return "The %s %s the %s %s." % (pick(words.NOUNS), pick(words.VERBS), pick(words.ADJECTIVES),
                                         pick(words.NOUNS)), 7

    def statedText(self, fields, length):
        """Sentences that state each field once in random order among filler; about `length` tokens.

        Returns text, tokens, {field: value} and {field: tokens from its value to the end of the text}.
        """
        values = {field: self.rng.choice(words.VALUES) for field in fields}
        sentences = [(STATEMENT % (field, values[field]), STATEMENT_TOKENS, field) for field in fields]
        used = STATEMENT_TOKENS * len(sentences)
        while used + 10 <= length:
            text, tokens = self.fillerSentence()
            sentences.append((text, tokens, None))
            used += tokens
        self.rng.shuffle(sentences)
        distances, at = {}, used
        for _, tokens, field in sentences:
            if field:
                distances[field] = at - STATEMENT_TOKENS + VALUE_BACK
            at -= tokens
        return " ".join(s[0] for s in sentences), used, values, distances

    def retrievalTurn(self, before, field, values):
        """One chat turn that asks for a field; the tokens of `before` are not counted."""
        return [(userTurn(before + capital(ASKED % field)), FILLER), ("W" + REPLY % field, FORM),
                (" " + values[field], ANSWER), (".<|im_end|>", FORM), ("\n", FILLER)], \
            USER_TURN_TOKENS + REPLY_END_TOKENS + 13

    def retrieval(self, fields, length, budget, chat):
        text, tokens, values, _ = self.statedText(fields, length)
        asked = list(fields)
        self.rng.shuffle(asked)
        parts = []
        if chat:
            for index, field in enumerate(asked):
                turn, cost = self.retrievalTurn("" if index else text + "\n", field, values)
                if index and tokens + cost > budget:
                    break
                parts += turn
                tokens += cost
        else:
            parts.append((text + "\n", FILLER))
            for index, field in enumerate(asked):
                if index and tokens + 17 > budget:
                    break
                parts += [("Question: " + ASKED % field + "\nAnswer: w" + REPLY % field, FILLER),
                          (" " + values[field], ANSWER), (".\n", FILLER)]
                tokens += 17
        return parts, tokens

    # Copying ---------------------------------------------------------------------------------------------------
    def copying(self, count):
        pool = words.VALUES + words.FIELDS + words.NOUNS + words.ADJECTIVES
        listed = "".join(" " + self.rng.choice(pool) for _ in range(count))
        return [("Repeat:" + listed + ".\nAnswer:", FILLER), (listed + ".\n", WORKED)], 2 * count + 6

    def recap(self, count):
        """Stated fields, then the same sentences in another order: many answers in few tokens."""
        fields = self.rng.sample(words.FIELDS, count)
        text, _, values, _ = self.statedText(fields, 0)
        self.rng.shuffle(fields)
        parts = [(text + "\nAgain:", FILLER)]
        for field in fields:
            parts += [(" W" + REPLY % field, FILLER), (" " + values[field], CHOICE), (".", FILLER)]
        return parts + [("\n", FILLER)], 2 * STATEMENT_TOKENS * count + 5

    # Knowledge -------------------------------------------------------------------------------------------------
    def statements(self, count):
        parts, tokens = [("Facts:", FILLER)], 2
        for name, key in self.rng.sample(self.factKeys, count):
            before, after = words.ATTRIBUTES[key][1].split("{v}")
            parts += [(" " + before.format(n=name).rstrip(" "), FILLER), (" " + self.facts[name, key], FACT), (after, FILLER)]
            tokens += len(before.split()) + 2
        return parts + [("\n", FILLER)], tokens + 1

    def heldOutForm(self, name, key):
        """The one question form that training never asks about this fact."""
        return zlib.crc32(("%s %s" % (name, key)).encode()) % len(words.ATTRIBUTES[key][2])

    def question(self, fact, heldOut=False):
        name, key = fact
        forms = words.ATTRIBUTES[key][2]
        held = self.heldOutForm(name, key)
        form = held if heldOut else self.rng.choice([i for i in range(len(forms)) if i != held])
        return forms[form].format(n=name)

    def options(self, fact, count):
        """`count` values of the attribute in random order, and the index of the right one."""
        right = self.facts[fact]
        others = self.rng.sample([v for v in words.ATTRIBUTES[fact[1]][0] if v != right], count - 1)
        place = self.rng.randrange(count)
        return others[:place] + [right] + others[place:], place

    def choiceQuestion(self, fact, count=len(LETTERS), heldOut=False, lookup=0.0):
        """A question with options; with chance `lookup` it names the value, so that only its letter is to be found."""
        values, place = self.options(fact, count)
        asked = self.question(fact, heldOut)
        if lookup and self.rng.random() < lookup:
            asked = "which letter is %s?" % self.facts[fact]
        listed = ", ".join("%s %s" % pair for pair in zip(LETTERS, values))
        tokens = len(asked.split()) + 1 + 2 + 3 * count  # words, "?", "Options:", letter value mark
        return asked + " Options: " + listed + ".", place, tokens

    def choice(self, chat, options, lookup):
        fact = self.rng.choice(self.factKeys)
        if chat and self.rng.random() < 0.4:
            asked = self.question(fact)
            before, after = words.ATTRIBUTES[fact[1]][1].split("{v}")
            parts = [(userTurn(capital(asked)), FILLER), ("Answer: " + before.format(n=fact[0]).rstrip(" "), FORM),
                     (" " + self.facts[fact], CHOICE), (after + "<|im_end|>", FORM), ("\n", FILLER)]
            return parts, len(asked.split()) + 1 + USER_TURN_TOKENS + 4 + len(before.split()) + REPLY_END_TOKENS
        if chat:
            asked, place, tokens = self.choiceQuestion(fact, self.rng.randint(*options), lookup=lookup)
            return [(userTurn(capital(asked)), FILLER), ("Answer:", FORM), (" " + LETTERS[place], CHOICE),
                    ("<|im_end|>", FORM), ("\n", FILLER)], tokens + USER_TURN_TOKENS + 3 + REPLY_END_TOKENS
        parts, total = [], 0
        for _ in range(self.rng.randint(1, 3)):
            asked, place, tokens = self.choiceQuestion(self.rng.choice(self.factKeys), self.rng.randint(*options),
                                                       lookup=lookup)
            parts += [("Question: " + asked + "\nAnswer:", FILLER), (" " + LETTERS[place], CHOICE), ("\n", FILLER)]
            total += tokens + 6
        return parts, total

    # Arithmetic ------------------------------------------------------------------------------------------------
    def problem(self, steps, heldOut=False):
        """A sum of `steps` additions and subtractions that stays within 0 to 99, and its worked steps."""
        while True:
            running = self.rng.randint(10, 99)
            asked, worked = str(running), []
            for _ in range(steps):
                digit = self.rng.randint(1, 9)
                plus = self.rng.random() < 0.5
                if running + digit > 99:
                    plus = False
                elif running - digit < 0:
                    plus = True
                after = running + digit if plus else running - digit
                mark = "+" if plus else "-"
                asked += "%s%d" % (mark, digit)
                worked.append("%d%s%d=%d" % (running, mark, digit, after))
                running = after
            if (zlib.crc32(asked.encode()) % 8 == 0) == heldOut:
                return asked, ";".join(worked)

    def arithmetic(self, steps, chat):
        asked, worked = self.problem(steps)
        if chat:
            return [(userTurn("Compute " + asked + "."), FILLER), (worked, WORKED), (".<|im_end|>", FORM),
                    ("\n", FILLER)], len(asked) + len(worked) + 3 + USER_TURN_TOKENS + 1 + REPLY_END_TOKENS
        return [("Compute " + asked + ".\nSteps:", FILLER), (" " + worked, WORKED), (".\n", FORM)], \
            len(asked) + len(worked) + 7

    # Conversations ---------------------------------------------------------------------------------------------
    def smallTalk(self):
        asked, reply = self.rng.choice(words.SMALL_TALK)
        return [(userTurn(asked), FILLER), (reply, WORKED), ("<|im_end|>", FORM), ("\n", FILLER)], 32

    def conversation(self, budget):
        """Turns of every kind in one chat; a text comes once and is asked about at any later turn."""
        parts, tokens, values = [], 0, {}
        while True:
            kind = self.rng.choice(["talk", "text", "choice", "arithmetic"])
            if kind == "text" and not values:
                fields = self.rng.sample(words.FIELDS, self.rng.randint(2, 5))
                text, used, values, _ = self.statedText(fields, self.rng.randint(20, 60))
                turn, cost = self.retrievalTurn(text + "\n", self.rng.choice(fields), values)
                cost += used
            elif kind == "text":
                turn, cost = self.retrievalTurn("", self.rng.choice(sorted(values)), values)
            elif kind == "choice":
                turn, cost = self.choice(True, (len(LETTERS), len(LETTERS)), 0.0)
            elif kind == "arithmetic":
                turn, cost = self.arithmetic(self.rng.randint(1, 4), True)
            else:
                turn, cost = self.smallTalk()
            if tokens + cost > budget:
                return parts, tokens
            parts += turn
            tokens += cost

    # Lines -----------------------------------------------------------------------------------------------------
    def line(self, phase, length):
        """One training line of at most `length` tokens: documents of one kind, each closed by the end-of-text token."""
        rng = self.rng
        kind = rng.choices(phase["kinds"], phase["shares"])[0]
        chat = rng.random() < phase["chat"]
        fields = rng.sample(words.FIELDS, len(words.FIELDS))
        parts, used = [], 0
        while True:
            room = length - used - 1
            if kind == "retrieval":
                pairs = rng.randint(*phase["pairs"])
                stated = max(rng.randint(*phase["text"]), STATEMENT_TOKENS * pairs)
                if stated + 25 > room or len(fields) < pairs:
                    break
                taken, fields = fields[:pairs], fields[pairs:]
                document, tokens = self.retrieval(taken, stated, room, chat)
            elif kind == "copy":
                document, tokens = self.copying(rng.randint(*phase["copy"])) if chat else self.recap(rng.randint(*phase["recap"]))
            elif kind == "facts":
                if used:
                    break
                document, tokens = self.statements((length - 6) // 6)
            elif kind == "choice":
                document, tokens = self.choice(chat, phase["options"], phase["lookup"])
            elif kind == "arithmetic":
                document, tokens = self.arithmetic(rng.randint(*phase["steps"]), chat)
            else:
                document, tokens = self.conversation(room) if rng.random() < 0.8 else self.smallTalk()
                if not document:
                    break
            if tokens > room:
                break
            parts += document + [(END, FILLER)]
            used += tokens + 1
        return mergeParts(parts)


def mergeParts(parts):
    """Joins neighbours of equal weight."""
    merged = []
    for text, weight in parts:
        if merged and merged[-1][1] == weight:
            merged[-1][0] += text
        else:
            merged.append([text, weight])
    return merged
