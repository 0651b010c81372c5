"""From the text of a $filter to its tree, checked against the type it filters. filtering.py evaluates the tree."""

from runbook_lib.sandbox.faults import GraphError
from runbook_lib.sandbox.graph.odata import schema
from runbook_lib.sandbox.graph.odata.filter_nodes import (
    COMPARISONS,
    FUNCTIONS,
    Among,
    Compare,
    Flag,
    Function,
    Lambda,
    Literal,
    Logic,
    Node,
    Not,
    Path,
    Token,
    literal,
    refuse,
    tokens,
)

DEPTH = 100
NODES = 400  # tokens of one filter; deeper trees than these limits allow would exhaust the stack


def parse(text: str, kind: schema.Type, version: str) -> Node:
    """The tree of a $filter over rows of that type. Raises GraphError 400 as Graph's gateway does."""
    return Parser(text, kind, version).parse()


class Parser:
    """Recursive descent over the tokens of one $filter; the state is the position and the variables in scope."""

    def __init__(self, text: str, kind: schema.Type, version: str) -> None:
        self.text, self.kind, self.version = text, kind, version
        self.tokens = list(tokens(text))
        self.position = 0
        self.depth = 0
        self.variables: dict[str, str] = {}

    def parse(self) -> Node:
        """The whole text as one expression. Raises GraphError 400."""
        if len(self.tokens) > NODES:
            raise refuse(f"The node count limit of '{NODES}' has been exceeded.")
        node = self.expression()
        if self.peek() is not None:
            raise self.syntax()
        return node

    def peek(self) -> Token | None:
        """The next token, or None at the end."""
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def word(self) -> str:
        """The next token's text in lower case if it is a name or a mark, else nothing."""
        token = self.peek()
        return token.text.lower() if token and token.kind in ("name", "mark") else ""

    def take(self, expected: str | None = None) -> Token:
        """The next token, which must be `expected` if that is given."""
        token = self.peek()
        if token is None or (expected is not None and token.text.lower() != expected):
            raise self.syntax()
        self.position += 1
        return token

    def syntax(self) -> GraphError:
        """A syntax error where we are."""
        token = self.peek()
        return refuse(f"Syntax error at position {token.at if token else len(self.text)} in '{self.text}'.")

    def expression(self) -> Node:
        """Disjunction."""
        self.depth += 1
        if self.depth > DEPTH:
            raise refuse("Recursion depth exceeded allowed limit.")
        node = self.conjunction()
        while self.word() == "or":
            self.take()
            node = Logic("or", node, self.conjunction())
        self.depth -= 1
        return node

    def conjunction(self) -> Node:
        """Conjunction."""
        node = self.negation()
        while self.word() == "and":
            self.take()
            node = Logic("and", node, self.negation())
        return node

    def negation(self) -> Node:
        """not, which binds closer than and."""
        negations = 0
        while self.word() == "not":
            self.take()
            negations += 1
        if negations > DEPTH:
            raise refuse("Recursion depth exceeded allowed limit.")
        node = self.atom()
        for _ in range(negations):
            node = Not(node)
        return node

    def atom(self) -> Node:
        """Parentheses, a function, a lambda or a comparison."""
        if self.word() == "(":
            self.take()
            node = self.expression()
            self.take(")")
            return node
        following = self.tokens[self.position + 1] if self.position + 1 < len(self.tokens) else None
        token = self.peek()
        if token and token.kind == "name" and following and following.text == "(" and self.word() not in ("in",):
            return self.function()
        return self.comparison()

    def function(self) -> Function:
        """startswith(path,'text') and its kin."""
        token = self.take()
        name = token.text.lower()
        if name not in FUNCTIONS:
            raise refuse(
                f"An unknown function with name '{token.text}' was found. This may also be a function import or a key "
                "lookup on a navigation property, which is not allowed."
            )
        self.take("(")
        path = self.operand()
        self.take(",")
        text = self.operand()
        self.take(")")
        if (
            not isinstance(path, Path)
            or path.type != "String"
            or path.collection
            or not isinstance(text, Literal)
            or text.type != "String"
        ):
            raise refuse(f"No function signature for the function with name '{name}' matches the specified arguments.")
        return Function(name, path, text)

    def comparison(self) -> Node:
        """Left operand and what follows it."""
        left = self.operand()
        if isinstance(left, Path) and self.word() in ("any", "all"):
            return self.quantified(left)
        operator = self.word()
        if operator == "in" and isinstance(left, Path):
            return self.among(left)
        if operator not in COMPARISONS:
            if isinstance(left, Path) and left.type == "Boolean" and not left.collection:
                return Flag(left)
            raise self.syntax()
        self.take()
        right = self.operand()
        compatible(operator, left, right, self.version)
        return Compare(operator, left, right)

    def among(self, path: Path) -> Among:
        """The list after `in`."""
        self.take("in")
        self.take("(")
        values = []
        while True:
            value = self.operand()
            if not isinstance(value, Literal):
                raise self.syntax()
            compatible("eq", path, value, self.version)
            values.append(value)
            if self.word() != ",":
                break
            self.take(",")
        self.take(")")
        return Among(path, tuple(values))

    def quantified(self, path: Path) -> Lambda:
        """any(v: ...) and all(v: ...) over a collection."""
        if not path.collection:
            raise refuse("Any/All may only be used following a collection.")
        quantifier = self.take().text.lower()
        self.take("(")
        if self.word() == ")" and quantifier == "any":
            self.take(")")
            return Lambda(quantifier, path, "", None)
        variable = self.take().text
        self.take(":")
        self.variables[variable] = path.type
        body = self.expression()
        del self.variables[variable]
        self.take(")")
        return Lambda(quantifier, path, variable, body)

    def operand(self) -> Path | Literal:
        """A literal or a property path."""
        token = self.take()
        if token.kind == "name" and token.text.lower() not in ("true", "false", "null"):
            return self.path(token)
        return literal(token, self.text)

    def path(self, first: Token) -> Path:
        """Names joined by slashes, up to any, all or $count."""
        root = first.text if first.text in self.variables else None
        kind, collection = (self.variables[first.text], False) if root else ("", False)
        found: list[str] = []
        if not root:
            kind, collection = self.step(self.kind, first.text, found)
        while self.word() == "/":
            self.take("/")
            if self.word() in ("any", "all"):
                break
            name = self.take().text
            if name == "$count" and collection:
                return Path(root, tuple(found), "Int64", count=True)
            if collection or kind in schema.PRIMITIVES:
                raise refuse(
                    f"The parent value for a property access of a property '{name}' is not a single value. Property "
                    "access can only be applied to a single value."
                )
            kind, collection = self.step(schema.find(kind, self.version), name, found)
        return Path(root, tuple(found), kind, collection)

    @staticmethod
    def step(kind: schema.Type, name: str, found: list[str]) -> tuple[str, bool]:
        """Go into one property, noting its declared name; the type it leads to."""
        declared = kind.property(name)
        if declared is None:
            raise refuse(f"Could not find a property named '{name}' on type 'microsoft.graph.{kind.name}'.")
        found.append(declared.name)
        return declared.type, declared.collection


def compatible(op: str, left: Path | Literal, right: Path | Literal, version: str) -> None:
    """Refuse comparisons of types that do not go together, as OData's type promotion does."""
    if left.type is None or right.type is None:
        return
    families = [_family(side, version) for side in (left, right)]
    if families[0] == families[1] or set(families) == {"enum", "String"}:
        for side, other in ((left, right), (right, left)):
            _member(side, other, version)
        return
    shown = [
        f"Edm.{side.type}" if side.type in schema.PRIMITIVES else f"microsoft.graph.{side.type}"
        for side in (left, right)
    ]
    raise refuse(
        "A binary operator with incompatible types was detected. Found operand types "
        f"'{shown[0]}' and '{shown[1]}' for operator kind '{COMPARISONS[op]}'."
    )


def _family(side: Path | Literal, version: str) -> str:
    kind = str(side.type)
    if isinstance(side, Path) and side.collection:
        return f"collection of {kind}"
    if kind in schema.NUMBERS:
        return "number"
    if kind == "Date":
        return "DateTimeOffset"
    if kind in schema.PRIMITIVES:
        return kind
    return "enum" if schema.find(kind, version).values else kind


def _member(side: Path | Literal, other: Path | Literal, version: str) -> None:
    """A text compared with an enumeration must be one of its members."""
    if _family(side, version) == "enum" and isinstance(other, Literal):
        members = {value.lower() for value in schema.find(str(side.type), version).values}
        if str(other.value).lower() not in members:
            raise refuse(f"The string '{other.value}' is not a valid enumeration type constant.")
