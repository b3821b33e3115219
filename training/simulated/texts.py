"""What people at the simulated company write: subjects, next steps, call notes, win/loss notes with themes."""

import numpy as np

NEXT_STEPS = (
    (
        "Find the economic buyer",
        "Qualify budget and timing",
        "Book a first discovery call",
        "Send an introduction",
    ),
    (
        "Run discovery with operations",
        "Schedule a demo",
        "Confirm success criteria",
        "Map the decision process",
    ),
    (
        "Walk through the proposal",
        "Answer the security questionnaire",
        "Align on scope and price",
        "Meet the finance lead",
    ),
    (
        "Close open points of the contract",
        "Get procurement's comments",
        "Agree the signing date",
        "Final approval by the board",
    ),
)
FINAL_STEP = "Final call to sign"
SUBJECTS = {
    "inbound": (
        "Re: {product} for {firm}",
        "Question about {product}",
        "Documents you asked for",
        "Re: next steps",
        "Feedback from our team",
    ),
    "reply": ("Re: {product} for {firm}", "Re: question about {product}", "Re: next steps"),
    "outbound": (
        "Following up on {product}",
        "{product}: what others in your industry did",
        "Agenda for our call",
        "Summary of our conversation",
    ),
    "call": ("Call with {firm}", "Check-in call", "Follow-up call"),
    "meeting": ("Meeting with {firm}", "Working session on {product}", "Review of requirements"),
    "demo": ("Demo of {product}", "Product demo for {firm}"),
    "executive_sponsor": ("Executive sponsor meeting with {firm}",),
    "add_stakeholder": ("Introduction to a new champion at {firm}",),
    "send_battle_card": ("How {product} compares with {rival}",),
    "send_proposal": ("Proposal: {product} for {firm}",),
    "mutual_action_plan": ("Mutual action plan for {firm}",),
    "re_engage": ("Is {product} still a priority?",),
    "offer": ("Revised offer for {firm}",),
    "first_response": ("Thank you for your interest", "Your request"),
    "farewell": ("I am leaving {firm}",),
    "planned": ("Next meeting with {firm}", "Decision meeting with {firm}"),
}
OPENERS = (
    "Spoke with {contact} at {firm}.",
    "Good half hour with {contact}.",
    "Short call with {contact} ({title}).",
    "Met {contact} and two colleagues at {firm}.",
    "Talked to {contact} about {product}.",
)
WARM = (
    "They want to start this quarter and asked for the contract draft.",
    "The pilot users are enthusiastic; our champion is pushing internally.",
    "Budget is approved and the sponsor confirmed the timeline.",
    "They shared their rollout plan with us and asked about onboarding capacity.",
    "Decision criteria are clear and we meet all of them.",
    "The finance lead joined for the first time and had only small questions.",
)
COOL = (
    "They have gone quiet and could not name a next step.",
    "Other projects come first; the decision may move to next year.",
    "Nobody owns the budget at the moment.",
    "Interest is polite, but there is no urgency to change.",
    "The meeting was cut short and no follow-up was agreed.",
    "They are re-organising and every purchase is on hold.",
)
THEMES = {
    "price": (
        "Price is the main concern: they see us about a fifth above the alternative.",
        "They asked for a lower price per seat and a longer payment term.",
        "Procurement compares list prices line by line and wants a bigger discount.",
    ),
    "integration": (
        "Integration with their finance system is a must; they asked for a reference of the connector.",
        "The missing two-way sync with their data warehouse came up again.",
        "Their architects worry about the effort of the integration with the legacy order system.",
    ),
    "security": (
        "The security review has started: questionnaire of 180 questions, penetration test report requested.",
        "Their security team insists on data residency and single sign-on before going on.",
        "Legal and security review will take three weeks; they need our SOC 2 report.",
    ),
    "competitor": (
        "They are also looking at {rival} and had a demo last week.",
        "{rival} offered a free migration; we need to answer that.",
        "The team used {rival} in the past and knows its limits in reporting.",
    ),
    "champion_left": (
        "Our champion left the company; we must find a new sponsor.",
        "{contact} told us that the person who drove this has changed jobs.",
    ),
    "usability": (
        "End users liked how quickly they could build a report without help.",
        "Training effort matters to them: shift workers must learn it in an hour.",
    ),
    "timing": (
        "They are bound to their present contract until the end of the quarter.",
        "The project depends on a reorganisation that is not finished.",
    ),
}
WON_TEXT = (
    "We won because {strength}. {theme} In the end {firm} valued our support and the clear plan.",
    "Closed after a good pilot: {strength}. {theme}",
    "{firm} signed. What decided it: {strength}. {theme}",
)
STRENGTHS = (
    "the reporting was faster to set up than anything they had seen",
    "our champion carried it through the board",
    "the executive sponsor meeting built trust",
    "the integration worked in the first week of the trial",
    "the mutual plan kept both sides on schedule",
    "the price per seat fitted the budget",
    "we answered the security review in four days",
)
LOST_TEXT = {
    "price": (
        "{firm} found us too expensive for the scope. {theme}",
        "Lost on price: finance stopped it. {theme}",
    ),
    "product": (
        "A feature gap decided it: they needed offline work and finer permissions. {theme}",
        "The product did not cover their approval process. {theme}",
    ),
    "competitor": (
        "They chose {rival}. {theme}",
        "{rival} won with a bundled offer and an early reference. {theme}",
    ),
    "no_budget": ("The budget was cut in the planning round. {theme}", "No budget this year. {theme}"),
    "no_decision": (
        "They stopped answering; the project died without a decision. {theme}",
        "They stay with spreadsheets for now. {theme}",
    ),
    "timing": (
        "Postponed to next year, so we closed it. {theme}",
        "Wrong moment: a merger comes first. {theme}",
    ),
    "relationship": (
        "We never got past one contact, and our champion left. {theme}",
        "The new operations director brought a vendor along. {theme}",
    ),
    "disqualified": (
        "Too small and no real need; disqualified after discovery.",
        "They only wanted a price comparison for an audit.",
    ),
    "other": ("Closed for an internal reason they did not share. {theme}",),
}


def pick(options: tuple[str, ...], draw: float) -> str:
    """One of the options by a draw from [0, 1)."""
    return options[int(draw * len(options))]


def themes_for(rival: bool, champion_left: bool, segment: int, draws: list[float]) -> str:
    """The theme of a note: rivals and departed champions are mentioned when true, security more by large firms."""
    if champion_left and draws[0] < 0.8:
        return "champion_left"
    if rival and draws[0] < 0.55:
        return "competitor"
    names = ("price", "integration", "security", "usability", "timing")
    weights = np.array(
        [[0.45, 0.15, 0.05, 0.25, 0.10], [0.3, 0.28, 0.17, 0.15, 0.10], [0.2, 0.25, 0.35, 0.08, 0.12]]
    )
    return names[min(int((draws[1] > np.cumsum(weights[segment])).sum()), 4)]


def call_note(words: dict[str, str], theme: str, warmth: float, draws: list[float]) -> str:
    """A call note: who, how warm it was, and one theme."""
    mood = pick(WARM if warmth > 0 else COOL, draws[3])
    parts = [pick(OPENERS, draws[2]), pick(THEMES[theme], draws[4])]
    if abs(warmth) > 0.5:
        parts.insert(1, mood)
    return " ".join(parts).format(**words)


def win_loss_note(words: dict[str, str], reason: str | None, theme: str, draws: list[float]) -> str:
    """A note on why a deal was won (`reason` is None) or lost."""
    texts = WON_TEXT if reason is None else LOST_TEXT[reason]
    said = pick(THEMES[theme], draws[4])
    if reason == "price" and draws[1] < 0.6:
        said = pick(THEMES["price"], draws[4])
    text = pick(texts, draws[2]).replace("{theme}", said).replace("{strength}", pick(STRENGTHS, draws[3]))
    return text.format(**words).strip()
