"""The simulated company's competitors and battle cards: texts as a sales team would write them."""

COMPETITORS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "Stratowave",
        "Strato Wave|Stratowave Suite",
        "stratowave.example",
        "Large partner network, strong brand with finance leaders, wide set of modules.",
        "Long implementation, reporting needs consultants, price list is hard to read.",
    ),
    (
        "Nimblebase",
        "Nimble Base|Nimblebase CRM",
        "nimblebase.example",
        "Low price per seat, quick start, pleasant mobile app.",
        "Few permissions, no audit trail, limits on automation runs.",
    ),
    (
        "Corvid Analytics",
        "Corvid",
        "corvid.example",
        "Beautiful dashboards, strong data science team, good community.",
        "No workflow, every action needs another tool, expensive viewers.",
    ),
    (
        "Halden Systems",
        "Halden|Halden Enterprise",
        "halden.example",
        "Trusted in regulated industries, on-premise option, long references.",
        "Old user interface, upgrades twice a year only, weak interfaces to cloud tools.",
    ),
    (
        "Pipewright",
        "Pipe Wright",
        "pipewright.example",
        "Hundreds of ready connectors, usage-based price, self-service trial.",
        "Costs grow with volume, little support, no approval steps.",
    ),
    (
        "Orbita",
        "Orbita One|OrbitaOne",
        "orbita.example",
        "Bundle with office tools, single contract, deep discounts at year end.",
        "Basic forecasting, slow support, roadmap depends on the suite.",
    ),
    (
        "Tallyline",
        "Tally Line",
        "tallyline.example",
        "Simple billing and quotes, well known by small firms, fair price.",
        "No roles beyond admin and user, does not scale past 50 seats, no single sign-on.",
    ),
)

BATTLE_CARDS: tuple[tuple[int, str, str, str], ...] = (
    (
        0,
        "Stratowave: time to value",
        "implementation|time_to_value|enterprise",
        """# Stratowave: time to value

**When you hear** "Stratowave has everything in one suite".

## What they say
- One vendor for planning, workflow and reporting.
- A partner will run the implementation.

## What is true
Typical projects take seven to nine months before the first team works productively. Each module has its own
data model, so reporting across modules needs consultants.

## How we win
1. Ask: *"When must the first team be live, and who will maintain the reports afterwards?"*
2. Offer a four-week pilot with one process and agree the success criteria in writing.
3. Bring the reference of a manufacturer of the same size: live in five weeks, three people involved.

## Trap to set
Ask Stratowave to show a change of a report by an end user, live, without a consultant.
""",
    ),
    (
        0,
        "Stratowave: price and total cost",
        "price|procurement|total_cost",
        """# Stratowave: price and total cost

**When you hear** "their licence is only slightly more expensive".

## Numbers to have ready
| | Stratowave | Relay |
|---|---|---|
| Licence per seat and year | 600–900 | 540–960 |
| Implementation | 1.5 × first-year licence | 0.2 × first-year licence |
| Report changes | consultant day rate | by the users |

## Talk track
Do not discuss the seat price alone. Build the three-year cost with the finance lead and let them enter the
numbers. Discounts that look large (30 % and more) usually apply to the first year only.

## Objection: "Procurement has a framework contract with them"
Ask for the modules it covers. Workflow and embedded analytics are normally not included.
""",
    ),
    (
        1,
        "Nimblebase: outgrowing the low price",
        "price|smb|growth",
        """# Nimblebase: outgrowing the low price

**When you hear** "Nimblebase costs half of it".

## Acknowledge
They are cheaper for up to about 20 seats and quick to start. Never claim the opposite.

## Questions that change the picture
- Who may approve a discount or a refund, and must that be on record?
- How many automation runs a month do you need? (They charge beyond 5,000.)
- Does an auditor ever ask who changed what?

## Proof
Two customers moved to us after a year: the audit trail and roles were missing. Offer the migration package
free of charge for annual contracts of more than 30 seats.

## Do not
Enter a price war under 10 seats. Qualify out early and stay in touch.
""",
    ),
    (
        1,
        "Nimblebase: security review",
        "security|single_sign_on|audit",
        """# Nimblebase: security review

**When you hear** "IT has to look at both tools".

## Facts
- Nimblebase offers single sign-on only in its highest plan and has no export of audit logs.
- Relay has SOC 2 Type II, a yearly penetration test and data residency in two regions.

## Play
1. Send our security pack *before* the questionnaire arrives; it answers 160 of the usual 180 questions.
2. Offer a call between their security manager and ours within 48 hours.
3. Ask IT to write the must-have list; roles, logs and residency are on nearly every one.
""",
    ),
    (
        2,
        "Corvid Analytics: dashboards without action",
        "analytics|integration|workflow",
        """# Corvid Analytics: dashboards without action

**When you hear** "Corvid's charts are better".

## Acknowledge
Their visualisations are excellent. Analysts love them.

## Reframe
A chart does not move an order. Ask: *"What happens after someone sees the red number? Who is told, and where is it
recorded?"* With Corvid the answer is e-mail. With Relay the same figure starts an approval or a task.

## Proof points
- Logistics customer: 40 % fewer late shipments after alerts were tied to flows.
- Viewers are free in Relay Insights; Corvid charges each viewer after the first 25.

## Demo
Show Insights and Flows in one story: threshold, alert, approval, result on the same page.
""",
    ),
    (
        2,
        "Corvid Analytics: embedded analytics",
        "analytics|embedded|product",
        """# Corvid Analytics: embedded analytics

**When you hear** "we want charts inside our own product".

## Compare
| Need | Corvid | Relay Embedded |
|---|---|---|
| Tenant isolation | by filter, your duty | by design |
| White label | higher plan | included |
| Price | per viewer | per application |

## Questions
- How many of your customers' users will look at it next year? Per-viewer prices explode here.
- Who is liable if one tenant sees another's data?

Bring our solutions architect to the second meeting; the technical evaluator decides this one.
""",
    ),
    (
        3,
        "Halden Systems: modern cloud for regulated firms",
        "security|compliance|on_premise",
        """# Halden Systems: modern cloud for regulated firms

**When you hear** "we must stay on premise".

## Find out first
Is it a rule of the regulator, a rule of the house, or a habit? In three of four cases it is a habit.

## What we offer
- Data residency, own encryption keys, and a read-only copy in the customer's own storage.
- The outsourcing file that auditors ask for, ready to use.

## Where Halden is weak
Upgrades twice a year, an interface from another decade, connectors built by partners. Ask end users to join the
demo: usability decides when compliance is a draw.

## When to walk away
A written on-premise requirement of the regulator. Disqualify and note the renewal date.
""",
    ),
    (
        3,
        "Halden Systems: migration from a legacy installation",
        "migration|integration|renewal",
        """# Halden Systems: migration from a legacy installation

**When you hear** "moving our history is too risky".

## Plan that takes away the fear
1. Inventory in week one: tables, volumes, owners.
2. Trial migration with one year of history, checked by the customer's own queries.
3. Parallel run of four weeks; the old system stays readable for a year.

## Facts
Our migration team moved 31 Halden installations. Median: six weeks; none was rolled back.

## Timing
Halden contracts renew yearly with three months' notice. Ask for the date and build the mutual action plan backwards
from it.
""",
    ),
    (
        4,
        "Pipewright: cost that grows with volume",
        "price|integration|usage",
        """# Pipewright: cost that grows with volume

**When you hear** "we only pay for what we use".

## Do the sum together
Take last month's records, multiply by the planned systems, add 30 % growth. At two million records a month their bill
passes our flat price; most mid-market customers reach that in the second year.

## Beyond price
- No approval steps: every exception ends in a mailbox.
- Support by forum in the standard plan.

## Play
Offer Relay Connect with the three connectors they need first, and a price lock for two years.
""",
    ),
    (
        4,
        "Pipewright: reliability and support",
        "integration|support|reliability",
        """# Pipewright: reliability and support

**When you hear** "their trial worked in an hour".

## Agree, then go deeper
A trial with one clean table always works. Ask what should happen when the finance system is down for a night:
retry, alert, order of records.

## Show
Replay of failed runs, dead-letter list, and the run history with who did what. Let the technical evaluator break it
on purpose.

## References
Two retail customers keep Pipewright for marketing lists and use Relay Connect for orders. Co-existence is a fine
first step; do not insist on replacing it.
""",
    ),
    (
        5,
        "Orbita: the bundle that looks free",
        "price|bundle|procurement",
        """# Orbita: the bundle that looks free

**When you hear** "we already have Orbita in our office contract".

## Reframe
Included is not the same as used. Ask for the number of active users of the module today. Usually it is below 10 %.

## Compare on outcomes
- Forecast error: Orbita forecasts with a moving average only.
- Support: first answer after two working days on average.

## Commercial play
Do not discount against zero. Tie the price to a result: pay the second half when the agreed adoption is reached.

## Whom to win
The operations director feels the pain; procurement does not. Get an executive sponsor meeting before the year-end
renewal.
""",
    ),
    (
        5,
        "Orbita: year-end discounts",
        "discount|timing|negotiation",
        """# Orbita: year-end discounts

**When you hear** "Orbita offers 50 % if we sign this month".

## What is behind it
Their fiscal year ends in December. The discount is for the first year; the list price returns with the renewal.

## Answer
1. Ask for the price in years two and three in writing.
2. Offer a start in January with the price fixed for three years.
3. Keep our discount within policy; give onboarding instead of price.

## Warning sign
If only procurement talks to us, we are the comparison offer. Ask for a meeting with the decision maker or step back.
""",
    ),
    (
        6,
        "Tallyline: when small firms grow",
        "smb|growth|roles",
        """# Tallyline: when small firms grow

**When you hear** "Tallyline does invoices and quotes, that is enough".

## Qualify
Below 15 people with one process they may be right: stay friendly and come back later.

## Signs that they outgrow it
- A second location or legal entity.
- Spreadsheets beside the tool for approvals.
- The first question about single sign-on.

## Offer
Relay Platform Essential with Flows: start with approvals, keep Tallyline for invoices through Relay Connect.
""",
    ),
    (
        6,
        "Tallyline: ease of use",
        "usability|smb|training",
        """# Tallyline: ease of use

**When you hear** "our people know Tallyline, anything else is too complicated".

## Acknowledge
Their form is simple, and habits matter more than features.

## Show, do not tell
Let an end user build an approval during the demo. It takes six minutes without training. Then open the mobile view.

## Proof
A retailer with 40 part-time staff trained everyone in one hour. Offer the onboarding package with a usage goal.
""",
    ),
    (
        0,
        "Stratowave: draft for healthcare",
        "healthcare|draft",
        """# Stratowave: draft for healthcare

Collecting material: two hospital groups asked about consent records and patient data. Needs review by legal before use.
""",
    ),
)
