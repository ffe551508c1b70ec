"""The templates and variables that jinja_parity.py renders: the language features that chat templates use."""

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi <|im_end|> there"},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello! "},
    {"role": "user", "content": "  2+2?  "},
]
TOOLS = [{"type": "function", "function": {"name": "add", "description": "Adds \"two\" <b>numbers</b> é.",
                                            "parameters": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}}}]
TOOL_CHAT = [
    {"role": "user", "content": "add"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "abc123def", "function": {"name": "add", "arguments": {"a": 1, "b": [1.5, None, True]}}}]},
    {"role": "tool", "content": "2.5", "tool_call_id": "abc123def"},
    {"role": "tool", "content": "x"},
    {"role": "assistant", "content": "2.5"},
]

EXPRESSIONS = {
    "integers": "1 + 2 * 3 - 4 // 3 % 5",
    "division": "7 / 2", "floor division": "-7 // 2", "modulo": "-7 % 3", "negative modulo": "7 % -3", "float modulo": "-7.5 % 2",
    "float floor": "7.5 // 2", "power": "2 ** 10", "power negative": "2 ** -1", "power left": "2 ** 3 ** 2", "minus power": "-2 ** 2",
    "unary": "- -3", "plus": "+3", "float": "1e3 + 0.5", "float text": "[1.0, 0.1, 1e16, 1e15, 1e-5, 0.0001, 123456.789, 1/3, 2.5e-10]",
    "hex": "0x1F + 0b101 + 0o17 + 1_000", "bool arithmetic": "True + True",
    "strings": "'a' + \"b\" 'c'", "escapes": r"'a\n\t\\\'\"\x41é\101'", "unknown escape": r"'\d\.'",
    "concat": "1 ~ 'a' ~ none ~ true ~ 1.5", "concat lists": "'x' ~ [1, 'a', none] ~ (1,) ~ {'k': \"it's\"}",
    "repeat": "'ab' * 3 ~ [1] * 2", "precedence concat": "1 - 2 ~ 3 * 4 if false else (1 ~ 2) ~ 3 * 4",
    "comparison": "[1 < 2, 1 == 1.0, 'a' < 'b', 'a' != 'b', 2 >= 3, 1 < 2 < 3, 3 > 2 > 2]",
    "equality": "[[1, 2] == [1, 2], {'a': 1} == {'a': 1.0}, (1,) == [1], none == none, '1' == 1, true == 1]",
    "in": "['a' in 'abc', 'd' not in 'abc', 1 in [1, 2], 'k' in {'k': 1}, 3 not in (1, 2), '' in 'a']",
    "logic": "[true and 'x', false or 'y', not 1, not '', none and 1, 0 or [] or 'z', not true == false]",
    "ternary": "'a' if true else 'b'", "ternary no else": "'a' if false", "nested ternary": "1 if false else 2 if false else 3",
    "list": "[1, 'two', [3], {'four': 4}, (5,), ()]", "index": "[[1,2,3][0], [1,2,3][-1], 'abc'[1], 'abc'[-1], {'a': 5}['a']]",
    "missing index": "[1][5] is defined", "missing key": "{'a': 1}.b is defined",
    "slices": "[[1,2,3,4][1:], [1,2,3,4][:-1], [1,2,3,4][::2], [1,2,3,4][::-1], [1,2,3,4][3:0:-1], [1,2][5:], [1,2,3][-100:2]]",
    "string slices": "['hello'[1:3], 'hello'[::-1], 'hello'[-3:], 'héllo wörld'[1:8:2], 'abc'[2:1], 'abc'[:100]]",
    "tuple slice": "(1, 2, 3)[1:]", "dict order": "{'b': 1, 'a': 2, 'b': 3}", "int keys": "{1: 'a', 1.0: 'b', true: 'c', 'x': none}",
    "attribute number": "[[7, 8]].0.1", "method on literal": "'a-b'.split('-')", "call filter chain": "' x '|trim|upper ~ 'y'",
    "filter precedence": "1 + '2'|int", "filter unary": "-1|abs", "test precedence": "not 1 is string", "is not": "1 is not none",
    "unicode": "'ünïcödé 日本 🎉'|length ~ 'ünïcödé 日本 🎉'[8:] ~ 'straße'.upper()", "repr": "['it\\'s', \"q\\\"\", 'both\\'\"', 'nl\\n', 'é', '\\x00\\x7f']",
    "dict views": "{'a': 1}.items() ~ {'a': 1}.keys() ~ {'a': 1}.values()",
}

METHODS = {
    "strip": "['  a '.strip(), 'xxaxx'.strip('x'), ' a '.lstrip(), ' a '.rstrip(), 'abcab'.strip('ab'), '\\u00a0a\\u2003'.strip()]",
    "split": "['a b  c '.split(), 'a,b,,c'.split(','), 'a,b,c'.split(',', 1), ' a  b  c '.split(none, 1), ''.split(), ''.split(','), 'abc'.split('x')]",
    "rsplit": "['a,b,c'.rsplit(',', 1), ' a  b  c '.rsplit(none, 1), 'a b c'.rsplit(), 'a,b'.rsplit(',', 0), 'a,b,c'.rsplit(',', 5)]",
    "split think": "'<think>\\nx</think>\\n\\ny'.split('</think>')[-1].lstrip('\\n')",
    "starts ends": "['abc'.startswith('ab'), 'abc'.endswith(('x', 'bc')), 'abc'.startswith('b', 1), 'abc'.endswith('ab', 0, 2)]",
    "case": "['aBc dEf'.upper(), 'aBc'.lower(), 'aBc dEf'.title(), \"it's aBc\".title(), 'aBC'.capitalize(), 'ÀÉ'.lower(), 'àé'.upper()]",
    "replace": "['aaa'.replace('a', 'b'), 'aaa'.replace('a', 'b', 2), 'ab'.replace('', '-'), 'abc'.replace('bc', '')]",
    "find": "['abcabc'.find('c'), 'abcabc'.rfind('c'), 'abc'.find('x'), 'éabc'.find('b'), 'abcabc'.find('c', 3), 'abc'.index('b'), 'aXbX'.count('X')]",
    "join": "[', '.join(['a', 'b']), ''.join('abc'), '-'.join({'k': 1})]",
    "format": "['{} {}'.format(1, 'a'), '{1}{0}'.format('a', 'b'), '{x}'.format(x=3), '{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c'), '{:05.2f}'.format(3.14159), '{:,}'.format(1234567), '{{}}'.format(), '{:x}'.format(255), '{!r}'.format('a'), '{0[a]}'.format({'a': 1}), '{:+d} {:5d}'.format(3, 4), '{:.1%}'.format(0.256)]",
    "percent": "['%s %s' % ('a', 1), '%d%%' % 5, '%.2f' % 3.14159, '%5s|%-5s|' % ('a', 'b'), '%05d' % 42, '%x' % 255, '%r' % 'a', '%(k)s' % {'k': 1}, '%s' % [1], '%e' % 12345.678, '%g' % 0.00001]",
    "predicates": "['abc'.isalpha(), 'ab1'.isalnum(), '12'.isdigit(), ' '.isspace(), ''.isdigit(), 'AB'.isupper(), 'ab'.islower(), '1'.isupper(), 'a b'.isalpha()]",
    "padding": "['a'.ljust(3) ~ '|', 'a'.rjust(3, '-'), 'a'.center(4, '*'), 'ab'.center(5, '*'), '-5'.zfill(4), '5'.zfill(3)]",
    "affixes": "['prefix-x'.removeprefix('prefix-'), 'x.txt'.removesuffix('.txt'), 'x'.removeprefix('y')]",
    "lines": "['a\\nb\\r\\nc\\n'.splitlines(), 'a\\nb'.splitlines(true), ''.splitlines(), 'a=b=c'.partition('='), 'a'.partition('=')]",
    "dict": "[{'a': 1}.get('a'), {'a': 1}.get('b'), {'a': 1}.get('b', 2), {'a': 1, 'b': 2}.keys()|list, {'a': 1}.values()|list, {'a': 1}.items()|list]",
    "list": "[[1, 2, 1].count(1), [1, 2].index(2), (1, 2).count(3)]",
    "key named items": "{'items': 1}['items'] ~ {'get': 5}['get'] ~ ({'keys': 2}.keys()|list)",
}

FILTERS = {
    "tojson": "TOOLS|tojson", "tojson indent": "TOOLS|tojson(indent=2)", "tojson indent empty": "[[], {}, [1]]|tojson(indent=4)",
    "tojson ascii": "['é🎉\\x7f', '\"\\\\\\n\\x01/']|tojson(ensure_ascii=true)", "tojson plain": "['é🎉\\x7f', '\"\\\\\\n\\r\\t\\x08\\x0c\\x01/', 1.0, 1e20, none, true, (1,)]|tojson",
    "tojson separators": "{'b': [1, 2], 'a': 1}|tojson(separators=(',', ':'), sort_keys=true)", "tojson keys": "{1: 1, none: 2, true: 3, 1.5: 4}|tojson",
    "trim": "['  a '|trim, 'xax'|trim('x')]", "case": "['aB c-d (ef)'|title, 'aB'|upper, 'aB'|lower, 'aB cD'|capitalize, \"it's o'neil\"|title]",
    "length": "['abc'|length, [1]|count, {'a': 1}|length, nothing|length, ''|length]",
    "join": "[[1, 2]|join, [1, 'a', none]|join(', '), [{'n': 1}, {'n': 2}]|join('-', attribute='n'), 'abc'|join('.')]",
    "default": "[nothing|default('d'), ''|default('d'), ''|default('d', true), none|default('d'), 0|d(5, boolean=true), nothing|default]",
    "first last": "[[1, 2]|first, [1, 2]|last, 'abc'|first, 'abc'|last, {'k': 1}|first, ([]|first) is defined]",
    "replace": "['aXbX'|replace('X', '-'), 'aXbX'|replace('X', '-', 1), 12|replace('1', 'x')]",
    "list": "['abc'|list, {'a': 1}|list, (1, 2)|list]", "string": "[1|string, none|string, [1]|string, 'a'|string]",
    "int": "['12'|int, '12.7'|int, 'x'|int, 'x'|int(7), 3.9|int, -3.9|int, '0x1f'|int(base=16), '1_000'|int, ' 5 '|int, true|int, none|int, '1e3'|int]",
    "float": "['1.5'|float, 'x'|float, 'x'|float(2.5), 3|float, 'inf'|float, ' 1e3 '|float]",
    "items": "{'a': 1, 'b': 2}|items|list", "map attribute": "[{'a': {'b': 1}}, {'a': {'b': 2}}]|map(attribute='a.b')|list",
    "map default": "[{'a': 1}, {}]|map(attribute='a', default=0)|list", "map filter": "['a', 'b']|map('upper')|join", "map filter args": "[' ax', 'bx ']|map('replace', 'x', 'y')|map('trim')|list",
    "selectattr": "CHAT|selectattr('role', 'equalto', 'user')|map(attribute='content')|list", "selectattr truth": "[{'a': 1}, {'a': 0}, {}]|selectattr('a')|list",
    "selectattr in": "CHAT|selectattr('role', 'in', ['system', 'assistant'])|map(attribute='role')|list", "rejectattr": "CHAT|rejectattr('role', '==', 'user')|list|length",
    "select": "[1, 2, 3, 4]|select('even')|list", "select truth": "[0, 1, '', 'a']|select|list", "reject": "[1, none, 2]|reject('none')|list", "select gt": "[1, 5, 3]|select('gt', 2)|list",
    "generator truth": "'yes' if [1]|select('gt', 5) else 'no'", "unique": "['a', 'A', 'b', 'a']|unique|list", "unique case": "['a', 'A', 'b', 'a']|unique(true)|list",
    "sort": "[3, 1, 2]|sort", "sort reverse": "[3, 1, 2]|sort(reverse=true)", "sort case": "['b', 'A', 'a', 'B']|sort ~ ['b', 'A', 'a', 'B']|sort(case_sensitive=true)",
    "sort attribute": "[{'n': 2, 'm': 1}, {'n': 1, 'm': 2}, {'n': 1, 'm': 1}]|sort(attribute='n,m')", "sort stable": "[{'n': 1, 'm': 1}, {'n': 0, 'm': 2}, {'n': 1, 'm': 3}]|sort(attribute='n', reverse=true)",
    "reverse": "[[1, 2]|reverse|list, 'abc'|reverse]", "indent": "'a\\nb\\n\\nc'|indent", "indent options": "'a\\n\\nb\\n'|indent(2, true, true) ~ 'x\\ny'|indent('> ', first=true)",
    "abs round": "[-1|abs, -1.5|abs, 2.5|round, 3.5|round, 42.55|round(1), 42.55|round(1, 'floor'), 42.51|round(1, 'ceil'), 42|round, 2.675|round(2), 1234|round(-2)]",
    "dictsort": "{'b': 1, 'A': 3, 'c': 2}|dictsort", "dictsort value": "{'b': 1, 'a': 3}|dictsort(by='value', reverse=true)",
    "sum": "[1, 2, 3]|sum ~ [{'a': 1}, {'a': 2.5}]|sum(attribute='a') ~ []|sum(start=10)", "min max": "[[3, 1, 2]|min, [3, 1, 2]|max, ['b', 'A']|min, [{'a': 2}, {'a': 1}]|min(attribute='a'), ([]|max) is defined]",
    "safe escape": "'<a href=\"x\">&\\'</a>'|e ~ '<b>'|safe", "format": "'%s-%s'|format('a', 1) ~ '%(x)d'|format(x=5)",
    "wordcount": "'one two, three_x 4'|wordcount", "center": "'a'|center(5) ~ '|'", "undefined filters": "[nothing|upper, nothing|trim, nothing|list, nothing|join, nothing|replace('a', 'b')]",
    "attr": "({'a': 1}|attr('a')) is defined", "filter on call": "'a,b'.split(',')|last|upper", "length of items": "{'a': 1}.items()|length",
}

TESTS = {
    "kinds": "[1 is number, 1.0 is number, true is number, '1' is number, 1 is integer, true is integer, 1.0 is float, 'a' is string, none is none, [] is sequence, {} is mapping, 'a' is iterable, 1 is iterable, true is boolean, {} is sequence]",
    "defined": "[nothing is defined, nothing is undefined, CHAT is defined, CHAT[0].x is defined, CHAT[9] is defined]",
    "truth": "[true is true, false is false, 1 is true, none is false]", "numbers": "[3 is odd, 4 is even, 9 is divisibleby 3, 9 is divisibleby(2)]",
    "comparisons": "[1 is eq 1, 1 is equalto 2, 1 is ne 2, 1 is lt 2, 2 is ge 2, 'a' is in ['a'], 1 is sameas 1, 3 is gt 2, 2 is le 1]",
    "case": "['ab' is lower, 'AB' is upper, 'a1' is lower]", "callable": "[range is callable, 1 is callable]", "not": "[1 is not string, nothing is not defined]",
    "filter exists": "['tojson' is filter, 'nope' is filter, 'defined' is test]", "in logic": "true if 1 is defined and 2 is defined else false",
}

WHITESPACE = {
    "trim blocks": "a\n{% if true %}\nb\n{% endif %}\nc", "lstrip": "a\n   {% if true %}\n  b\n   {% endif %}\nc", "minus": "a \n {%- if true -%} \n b \n {%- endif -%} \n c",
    "minus variable": "a \n {{- 'x' -}} \n b", "variable keeps": "a\n  {{ 'x' }}\nb\n", "comments": "a\n  {# note #}\nb {#- x -#} c\n{# multi\nline #}\nd",
    "plus": "a\n  {%+ if true %}b{% endif +%}\nc", "inline block": "x {% if true %} y {% endif %} z\n", "not line start": "{{ 1 }}  {% if true %}a{% endif %}",
    "raw": "{% raw %}{{ x }} {% if %}{% endraw %}\nb", "raw trim": "a\n  {%- raw -%}  {{ x }}  {%- endraw -%}\n b", "crlf": "a\r\n{% if true %}\r\nb\r{% endif %}\r\nc",
    "trailing newline": "a\n", "two trailing newlines": "a\n\n", "braces": "{ {x} } {{ '}}' }} {{ {'a': {'b': 1}}['a'] }} %} }}",
    "two blocks one line": "  {% if true %}  {% endif %}x\n  {% set a = 1 %}  {% set b = 2 %}\ny", "comment with minus end": "a\n{#- c -#}\nb", "tabs": "\t{% if true %}\n\ta\n\t{% endif %}\nb",
    "newline in tag": "{% if\n true\n%}\na{{\n1\n}}{% endif %}", "empty": "", "only comment": "{# x #}", "for lines": "{% for i in [1,2] %}\n  {{ i }}\n{% endfor %}\nend",
}

STATEMENTS = {
    "for loop variables": "{% for x in 'abc' %}{{ [loop.index, loop.index0, loop.first, loop.last, loop.length, loop.revindex, loop.revindex0, loop.previtem, loop.nextitem, loop.depth] }}{% endfor %}",
    "for else": "{% for x in [] %}a{% else %}none{% endfor %}{% for x in [1] %}a{% else %}b{% endfor %}", "for filter": "{% for x in [1,2,3,4] if x is even %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% else %}no{% endfor %}",
    "for filter empty": "{% for x in [1] if x > 5 %}a{% else %}no{% endfor %}", "for unpack": "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a + b + c }}{% endfor %}",
    "for dict": "{% for k in {'a': 1} %}{{ k }}{% endfor %}", "for string": "{% for c in 'héy' %}[{{ c }}]{% endfor %}", "for tuple": "{% for x in 1, 2 %}{{ x }}{% endfor %}",
    "for undefined": "{% for x in nothing %}a{% else %}e{% endfor %}", "break continue": "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i > 4 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "nested loops": "{% for i in range(2) %}{% set o = loop %}{% for j in range(2) %}{{ o.index }}.{{ loop.index }} {% endfor %}{% endfor %}", "loop cycle": "{% for i in range(4) %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "scope of set": "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}", "set in if": "{% if true %}{% set x = 5 %}{% endif %}{{ x }}",
    "namespace": "{% set ns = namespace(n=0, s='') %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }}", "namespace dict": "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a + ns.b }}{{ ns.c is defined }}{{ ns['a'] }}",
    "set tuple": "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}", "block set": "{% set x %}\n a {{ 1 }}\n{% endset %}[{{ x }}]", "block set filter": "{% set x | upper | trim %} ab {% endset %}[{{ x }}]",
    "block set scope": "{% set y = 1 %}{% set x %}{% set y = 2 %}{{ y }}{% endset %}{{ x }}{{ y }}", "if chain": "{% for i in range(4) %}{% if i == 0 %}a{% elif i == 1 %}b{% elif i == 2 %}c{% else %}d{% endif %}{% endfor %}",
    "macro": "{% macro m(a, b=2, c='x') %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(c='z', a=0) }}", "macro missing argument": "{% macro m(a) %}[{{ a }}]{{ a is defined }}{% endmacro %}{{ m() }}",
    "macro closure": "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% set x = 2 %}{{ m() }}", "macro recursion": "{% macro f(n) %}{{ n }}{% if n > 0 %},{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "macro result": "{% macro m() %} a {% endmacro %}{{ m()|trim ~ '|' ~ m().strip()|length }}", "macro default expression": "{% macro m(a, b=a ~ '!') %}{{ b }}{% endmacro %}{{ m('x') }}", "macro star": "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'b': 3, 'a': 4}) }}",
    "macro local set": "{% set x = 1 %}{% macro m() %}{% set x = 5 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}", "call block": "{% macro w(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call w('b') %}in{% endcall %}",
    "call block arguments": "{% macro each(xs) %}{% for x in xs %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(i) each([1, 2]) %}[{{ i }}]{% endcall %}", "filter block": "{% filter upper | replace('A', 'b') %}a{{ 'c' }}{% endfilter %}",
    "with": "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}", "generation": "a{% generation %}b\n{% endgeneration %}\nc", "if undefined": "{% if nothing %}a{% else %}b{% endif %}{{ nothing }}|{{ CHAT[0].zzz }}",
    "output tuple": "{{ 1, 2 }}", "range": "{{ range(3)|list }}{{ range(1, 10, 3)|list }}{{ range(3, 0, -1)|list }}{{ range(0)|list }}", "dict function": "{{ dict(a=1, b=2) }}{{ dict([('x', 1)]) }}{{ dict({'q': 1}, r=2) }}",
    "loop in condition": "{% for m in CHAT %}{% if loop.first and m.role == 'system' %}S{% elif not loop.last %}M{% else %}L{% endif %}{% endfor %}", "previtem": "{% for m in CHAT %}{% if loop.previtem and loop.previtem.role == m.role %}same{% endif %}{{ loop.nextitem.role if loop.nextitem is defined else 'end' }} {% endfor %}",
    "index from loop": "{% for m in CHAT %}{% if loop.index0 > 0 %}{{ CHAT[loop.index0 - 1].role }} {% endif %}{% endfor %}", "shadow function": "{% set range = 5 %}{{ range }}", "set list building": "{% set ns = namespace(xs=[]) %}{% for i in range(3) %}{% set ns.xs = ns.xs + [i] %}{% endfor %}{{ ns.xs }}",
    "sequence of else": "{% for i in [1,2,3] %}{% if i is odd %}{% if i == 1 %}one{% else %}odd{% endif %}{% else %}even{% endif %}{% endfor %}", "deep data": "{{ TOOLS[0].function.parameters.properties.a.type }}{{ TOOLS[0]['function']['name'] }}",
    "slice messages": "{% for m in CHAT[1:] %}{{ m.role[0] }}{% endfor %}{% for m in CHAT[::-1] %}{{ loop.index }}{{ m['role'] }}{% endfor %}", "tojson in text": "{{ '{\"name\": \"' }}{{ TOOLS[0].function.name }}{{ '\", \"arguments\": ' }}{{ TOOL_CHAT[1].tool_calls[0].function.arguments | tojson }}}",
    "join keys": "{{ TOOLS[0].function.keys() | join(',') }}", "string or list content": "{% for m in [{'content': 'a'}, {'content': [{'type': 'text', 'text': 'b'}, {'type': 'image'}]}] %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% else %}<{{ p['type'] }}>{% endif %}{% endfor %}{% endif %}{% endfor %}",
}

FAILURES = {
    "raise": "{{ raise_exception('no') }}", "attribute of undefined": "{{ nothing.a.b }}", "add undefined": "{{ nothing + 1 }}", "add mixed": "{{ 'a' + 1 }}", "unclosed": "{% if true %}", "unclosed variable": "{{ 1", "unknown tag": "{% frobnicate %}",
    "unknown filter": "{{ 1|frobnicate }}", "unknown test": "{{ 1 is frobnicate }}", "division by zero": "{{ 1 / 0 }}", "modulo by zero": "{{ 1 % 0 }}", "call undefined": "{{ nothing() }}", "call string": "{{ 'a'() }}", "iterate number": "{% for x in 5 %}{% endfor %}",
    "unpack": "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "append": "{% set x = [] %}{{ x.append(1) }}", "update": "{{ {}.update({'a': 1}) }}", "long range": "{% for i in range(200000) %}{% endfor %}", "bad slice": "{{ CHAT['a':] }}", "slice of dict": "{{ CHAT[0][1:] }}", "order": "{{ 1 < 'a' }}",
    "unhashable": "{{ {[1]: 2} }}", "tojson undefined": "{{ nothing|tojson }}", "length of number": "{{ 5|length }}", "missing end": "{% for x in [1] %}a", "unexpected end": "{% endif %}", "bad bracket": "{{ (1] }}", "dangling operator": "{{ 1 + }}",
    "macro surplus": "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "macro unknown keyword": "{% macro m(a) %}{% endmacro %}{{ m(b=1) }}", "set attribute of dict": "{% set d = {} %}{% set d.a = 1 %}", "assign constant": "{% set true = 1 %}", "in number": "{{ 1 in 5 }}", "int in string": "{{ 1 in 'a1' }}",
    "too few values": "{{ '%s %s' % 'a' }}", "too many values": "{{ '%s' % (1, 2) }}", "index missing": "{{ 'abc'.index('x') }}", "join numbers": "{{ ','.join([1]) }}", "empty separator": "{{ 'a'.split('') }}", "break outside": "{% break %}", "unclosed comment": "{# a", "unclosed string": "{{ 'a }}",
}

STRICT = {
    "keeps newline": ("a {{ q }}\n", False), "no trimming": ("{% if true %}\n  a\n  {% endif %}\nb", False), "undefined": ("{{ nothing }}", True), "undefined truth": ("{% if nothing %}a{% endif %}", True), "defined test": ("{{ nothing is defined }}", False),
    "default": ("{{ nothing|default('x') }}", False), "document": ("Question: {{q.strip()}}\nChoices: {% for c in choices %}{{ 'ABCD'[loop.index0] }}. {{ c }}\n{% endfor %}Answer:", False), "index of choices": ("{{ choices.index(answer) }}", False), "list of letters": ("{{ ['A', 'B', 'C'][:choices|length] }}", False),
    "undefined compare": ("{{ nothing == 1 }}", True), "undefined concat": ("{{ 'a' ~ nothing }}", True), "missing attribute": ("{{ q.nope }}", True),
}

CHATML_TOOLS = """{%- if tools %}
    {{- '<|start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|start|>system\\n' + messages[0].content + '<|end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<r>') and message.content.endswith('</r>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|start|>' + message.role + '\\n' + content + '<|end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|start|>user' }}
        {%- endif %}
        {{- '\\n<r>\\n' }}
        {{- content }}
        {{- '\\n</r>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""

HEADERS = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|header|>system<|/header|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|header|>' + message['role'] + '<|/header|>\\n\\n'+ message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("one call only") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|header|>assistant<|/header|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|header|>ipython<|/header|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|header|>assistant<|/header|>\\n\\n' }}
{%- endif %}
"""

INSTRUCT = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("ids are alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}, {% else %}{{- "]" + eos_token }}{% endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool" %}
        {{- '[RESULTS] {"content": ' + message.content|string + "}[/RESULTS]" }}
    {%- else %}
        {{- raise_exception("unknown role") }}
    {%- endif %}
{%- endfor %}
"""

TURNS = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first_user_prefix = messages[0]['content'] + '

' %}{% set loop_messages = messages[1:] %}{% else %}{% set first_user_prefix = "" %}{% set loop_messages = messages %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception("roles must alternate") }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = "model" %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<turn>' + role + '
' + (first_user_prefix if loop.first else "") }}{% if message['content'] is string %}{{ message['content'] | trim }}{% elif message['content'] is iterable %}{% for item in message['content'] %}{% if item['type'] == 'image' %}{{ '<image>' }}{% elif item['type'] == 'text' %}{{ item['text'] | trim }}{% endif %}{% endfor %}{% else %}{{ raise_exception("Invalid content type") }}{% endif %}{{ '</turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<turn>model
'}}{% endif %}"""

SEEK = """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<User>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is none %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}{{'<Assistant><calls>' + tool['function']['name'] + '\\n' + '```json' + '\\n' + tool['function']['arguments']|tojson + '\\n' + '```'}}{%- set ns.is_first = true -%}{%- else %}{{'\\n' + tool['function']['name']}}{%- endif %}{%- endfor %}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{%- if ns.is_tool %}{{'<outputs_end>' + message['content'] + eos_token}}{%- set ns.is_tool = false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<Assistant>' + content + eos_token}}{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{%- if ns.is_output_first %}{{'<outputs><output>' + message['content'] + '</output>'}}{%- set ns.is_output_first = false %}{%- else %}{{'\\n<output>' + message['content'] + '</output>'}}{%- endif %}{%- endif %}{%- endfor -%}{% if ns.is_tool %}{{'<outputs_end>'}}{% endif %}{% if add_generation_prompt and not ns.is_tool %}{{'<Assistant><think>\\n'}}{% endif %}"""

ROLES = """{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}{% else %}{{ '<|' + message['role'] + '|>' + (message['content'] or '') + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"""

TYPED = """{%- macro render_type(spec, depth=0) -%}
    {%- if spec.type == "array" -%}
        {{- render_type(spec["items"], depth + 1) + "[]" }}
    {%- elif spec.type == "object" and spec.properties -%}
        {{- "{\\n" }}
        {%- for name, inner in spec.properties.items() -%}
            {{- "  " * (depth + 1) + name + ("?" if name not in (spec.required or []) else "") + ": " + render_type(inner, depth + 1) }}
            {%- if not loop.last %},{% endif %}{{ "\\n" }}
        {%- endfor -%}
        {{- "  " * depth + "}" }}
    {%- elif spec.enum -%}
        {{- spec.enum | map("tojson") | join(" | ") }}
    {%- else -%}
        {{- spec.type | default("any") }}
    {%- endif -%}
{%- endmacro -%}
{%- for tool in tools -%}
type {{ tool.function.name }} = (_: {{ render_type(tool.function.parameters) }}) => any;
{%- endfor -%}"""


def all_cases():
    def used(template):
        return {name: value for name, value in {"CHAT": CHAT, "TOOLS": TOOLS, "TOOL_CHAT": TOOL_CHAT}.items() if name in template}

    for group, table in (("expression", EXPRESSIONS), ("method", METHODS), ("filter", FILTERS), ("test", TESTS)):
        for name, expression in table.items():
            template = "{{ " + expression + " }}"
            yield {"name": f"{group}: {name}", "template": template, "variables": used(template)}
    for group, table in (("space", WHITESPACE), ("statement", STATEMENTS)):
        for name, template in table.items():
            yield {"name": f"{group}: {name}", "template": template, "variables": used(template)}
    for name, template in FAILURES.items():
        yield {"name": f"failure: {name}", "template": template, "variables": used(template), "fails": True}
    document = {"q": " Why? ", "choices": ["a", "b", "c"], "answer": "b"}
    for name, (template, fails) in STRICT.items():
        case = {"name": f"evaluation: {name}", "template": template, "variables": document, "dialect": "evaluation"}
        yield dict(case, fails=True) if fails else case
    nested = [{"function": {"name": "f", "parameters": {"type": "object", "required": ["x"], "properties": {
        "x": {"type": "array", "items": {"type": "object", "properties": {"u": {"enum": ["a", 1]}, "v": {}}}}, "y": {"type": "string"}}}}}]
    yield {"name": "chat: typed tools", "template": TYPED, "variables": {"tools": nested}}
    templates = {"chatml": CHATML_TOOLS, "headers": HEADERS, "instruct": INSTRUCT, "turns": TURNS, "seek": SEEK, "roles": ROLES}
    chats = {"plain": CHAT, "tools": TOOL_CHAT, "one": [{"role": "user", "content": "x"}]}
    for template, source in templates.items():
        for chat, messages in chats.items():
            for tools in (None, TOOLS):
                for prompt in (True, False):
                    if tools and not prompt:
                        continue
                    given = {"messages": messages, "tools": tools, "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>"}
                    if tools:
                        given["enable_thinking"] = False
                    fails = template == "turns" and chat == "tools"
                    case = {"name": f"chat: {template}, {chat}, {'tools' if tools else 'no tools'}, {'prompt' if prompt else 'no prompt'}",
                            "template": source, "variables": given}
                    yield dict(case, fails=True) if fails else case
