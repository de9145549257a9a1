"""Taking marked parts out of a response: reasoning, reflections. What was taken out stays in the record."""


def strip(text: str, markers: list[list[str | None]], before: str = "") -> str:
    """`text` without the parts between each [opening, closing] pair, marks included.

    A part without a closing mark, or that is never closed (the answer was cut in it), goes to the end; a closing mark
    that nothing opened takes all before it. `before` is what the prompt ends with: some chat templates open the
    reasoning themselves. White space around what is left is trimmed when something was taken out.
    """
    found = text
    for opening, closing in markers:
        if closing is None:
            found = found.partition(opening)[0]
            continue
        found = opening + found if before.endswith(opening) else found
        while opening in found:
            kept, _, rest = found.partition(opening)
            found = kept + rest.partition(closing)[2]
        found = found.rpartition(closing)[2]
    return found.strip() if found != text else text
