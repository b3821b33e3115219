"""The simulated company's playbooks: what to do in each stage, in steps."""

Step = tuple[str, str, str, int]
PLAYBOOKS: tuple[tuple[str, str, str, list[dict[str, object]], tuple[Step, ...]], ...] = (
    (
        "Open the door",
        "First contact with a new prospect.",
        "prospecting",
        [],
        (
            (
                "call",
                "Call the contact",
                "Ask what triggered the interest and who else feels the problem.",
                1,
            ),
            (
                "email",
                "Send a one-page summary",
                "Three lines: the problem, a similar firm, a proposed date.",
                2,
            ),
            ("meeting", "Hold a discovery meeting", "Budget, need, time line, decision process.", 7),
            ("disqualify", "Qualify out when there is no need", "Better an early no than a late one.", 21),
        ),
    ),
    (
        "Discover and qualify",
        "Make sure that there is a need, a budget and a person.",
        "qualification",
        [],
        (
            ("demo", "Show the one story that matters", "Use their own case; invite an end user.", 5),
            (
                "add_stakeholder",
                "Win a second contact",
                "Deals with one contact only are lost twice as often.",
                7,
            ),
            ("call", "Confirm success criteria", "Write them down and send them back.", 10),
            ("correct_close_date", "Set an honest close date", "Work backwards from their go-live.", 10),
        ),
    ),
    (
        "Propose with substance",
        "From requirements to a proposal that can be signed.",
        "proposal",
        [],
        (
            ("send_proposal", "Send the proposal", "Price, scope, plan on four pages.", 3),
            ("meeting", "Walk through it together", "Never send a proposal without a date to discuss it.", 5),
            ("mutual_action_plan", "Agree the plan to go-live", "Names and dates on both sides.", 10),
            ("send_battle_card", "Answer the competitor", "Use the card when a rival is named.", 4),
        ),
    ),
    (
        "Bring it home",
        "Negotiation without giving away the price.",
        "negotiation",
        [],
        (
            (
                "mutual_action_plan",
                "Check the plan's dates",
                "Legal, security and procurement each need a date.",
                2,
            ),
            (
                "executive_sponsor",
                "Bring executives together",
                "Half an hour between sponsors opens doors.",
                5,
            ),
            (
                "offer",
                "Offer within policy",
                "Give in exchange for something: term, reference, start date.",
                7,
            ),
            ("call", "Final call to sign", "Ask for the signature.", 3),
        ),
    ),
    (
        "Wake a silent deal",
        "When nobody has answered for two weeks.",
        "qualification",
        [{"field": "last_activity_at", "op": "lt", "value": "-14d"}],
        (
            ("re_engage", "Ask an honest question", "Is it still a priority this quarter?", 1),
            ("call", "Call another contact", "Someone else may know what happened.", 3),
            ("correct_close_date", "Move the close date", "An honest date helps everyone.", 5),
            ("disqualify", "Close it when nobody answers", "After three tries in three weeks.", 21),
        ),
    ),
    (
        "Large deal, executive attention",
        "For deals above 100,000.",
        "proposal",
        [{"field": "amount", "op": "gte", "value": 100000}],
        (
            ("executive_sponsor", "Plan the sponsor meeting", "Agree message and ask beforehand.", 7),
            (
                "add_stakeholder",
                "Map the buying committee",
                "Economic buyer, champion, security, procurement.",
                7,
            ),
            ("mutual_action_plan", "Write the mutual plan", "Shared document with owners.", 10),
            ("hand_over", "Involve an enterprise colleague", "When the deal outgrows the team.", 14),
        ),
    ),
    (
        "Renew and expand",
        "Existing customers whose contract ends soon.",
        "prospecting",
        [{"field": "type", "op": "in", "value": ["renewal", "expansion"]}],
        (
            ("meeting", "Review the results of the year", "Bring usage figures.", 7),
            ("add_stakeholder", "Meet the new people", "Sponsors change more often than contracts.", 10),
            ("offer", "Offer a longer term", "Two years for a fixed price.", 20),
        ),
    ),
)
"""Name, description, stage, criteria, steps (action, title, body, due days)."""
