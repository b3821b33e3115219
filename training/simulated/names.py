"""Words that the simulated company's people, firms and products are named with."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "Amelia Noah Sofia Liam Chloe Ethan Maya Lucas Hannah Oscar Ines Felix Nadia Hugo Leila Anton Clara "
    "Samuel Yuki Ravi Greta Mateo Elena Jonas Aisha Victor Paula Simon Zara Henrik Laura Tomas Naomi "
    "Adrian Freya Gabriel Lena Marco Tessa Andrei Bianca Kofi Irene Dylan Alma Stefan Rita Erik Vera "
    "Malik"
)
LAST_NAMES = _words(
    "Almeida Becker Chandra Dawson Eriksen Fontaine Garcia Hughes Ivanov Jensen Keller Larsen Moreau "
    "Nakamura Okafor Petrov Quinn Rossi Schmidt Tanaka Ueda Vargas Wagner Xu Young Zimmer Andersson "
    "Bennett Costa Duarte Evans Fischer Grant Haddad Ito Jacobs Kowalski Lopez Meyer Novak Ortega Price "
    "Ramos Sato Turner Vogel Walsh Yilmaz Ziegler Brandt"
)
FIRM_FIRST = _words(
    "Northwind Bluepeak Ironbridge Silverlake Redwood Clearwater Granite Harbor Summit Crescent Evergreen "
    "Lumen Vertex Pinnacle Beacon Cobalt Meridian Falcon Juniper Orchard Prairie Quartz Riverside Sable "
    "Tidal Umbra Valence Willow Zephyr Amber Birch Cedar Delta Ember Fjord Garnet Halcyon Indigo Jasper "
    "Keystone Larch Magnolia Nimbus Onyx Polar Quill Rowan Sierra Tundra Vista Atlas Boreal Copper Drift "
    "Echo Fulcrum Grove Helix Isle Kestrel"
)
FIRM_SECOND = {
    "manufacturing": ("Manufacturing", "Industries", "Components", "Works", "Precision"),
    "software": ("Software", "Systems", "Labs", "Cloud", "Digital"),
    "financial_services": ("Capital", "Financial", "Insurance", "Bank", "Partners"),
    "healthcare": ("Health", "Clinics", "Medical", "Care", "Biosciences"),
    "retail": ("Retail", "Stores", "Outfitters", "Foods", "Brands"),
    "logistics": ("Logistics", "Freight", "Shipping", "Transport", "Supply"),
    "energy": ("Energy", "Power", "Renewables", "Utilities", "Grid"),
    "professional_services": ("Consulting", "Advisory", "Services", "Group", "Associates"),
}
INDUSTRIES = tuple(FIRM_SECOND)
COUNTRIES = (
    ("US", ("New York", "Chicago", "Austin", "Denver", "Boston")),
    ("GB", ("London", "Manchester", "Leeds", "Bristol")),
    ("DE", ("Berlin", "Hamburg", "Munich", "Cologne")),
    ("FR", ("Paris", "Lyon", "Nantes")),
    ("NL", ("Amsterdam", "Utrecht")),
    ("SE", ("Stockholm", "Gothenburg")),
    ("CA", ("Toronto", "Montreal")),
)
TITLES = (
    ("Chief financial officer", "Finance", "economic_buyer"),
    ("Director of operations", "Operations", "decision_maker"),
    ("Head of sales operations", "Sales", "champion"),
    ("IT security manager", "IT", "technical_evaluator"),
    ("Operations analyst", "Operations", "end_user"),
    ("Vice president of sales", "Sales", "decision_maker"),
    ("Procurement manager", "Procurement", "procurement"),
    ("Solutions architect", "IT", "influencer"),
)
PRODUCTS = (
    (
        "PLT-ESS",
        "Relay Platform Essential",
        "platform",
        240.0,
        "annual",
        "Core workflow platform for small teams.",
    ),
    (
        "PLT-PRO",
        "Relay Platform Professional",
        "platform",
        540.0,
        "annual",
        "Workflow platform with roles, audit trail and single sign-on.",
    ),
    (
        "PLT-ENT",
        "Relay Platform Enterprise",
        "platform",
        960.0,
        "annual",
        "Workflow platform with data residency, sandbox and premium limits.",
    ),
    ("ANA-INS", "Relay Insights", "analytics", 300.0, "annual", "Dashboards and scheduled reports."),
    ("ANA-FOR", "Relay Forecasting", "analytics", 620.0, "annual", "Demand and capacity forecasts."),
    (
        "ANA-EMB",
        "Relay Embedded Analytics",
        "analytics",
        880.0,
        "annual",
        "Analytics inside your own product.",
    ),
    ("AUT-FLW", "Relay Flows", "automation", 360.0, "annual", "Rules and approvals without code."),
    (
        "AUT-INT",
        "Relay Connect",
        "automation",
        700.0,
        "annual",
        "Connectors to finance, support and data systems.",
    ),
    ("SRV-ONB", "Onboarding package", "services", 4500.0, "one_time", "Set-up and training by our team."),
    ("SRV-MIG", "Data migration", "services", 9000.0, "one_time", "Moving history from another system."),
    ("SRV-SUP", "Premium support", "services", 250.0, "monthly", "Named engineer and one-hour response."),
)
FAMILIES = ("platform", "analytics", "automation")
LEAD_SOURCES = ("web", "inbound_call", "referral", "event", "partner", "outbound", "marketing")
