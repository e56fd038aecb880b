"""What people of the demo town write: profiles, notes, talk, reviews, in English and in Nepali."""

from __future__ import annotations

from typing import Final

Pair = tuple[str, str]
"""The same in English and in Nepali."""

BIOS: Final[tuple[Pair, ...]] = (
    (
        "I have led pujas for families in {city} for {years} years and learnt the rites from my "
        "father. I explain each step, so that young people can follow.",
        "म {city_ne}मा {years_ne} वर्षदेखि पूजाआजा गराउँदै आएको छु। विधि बुबाबाट सिकेको हुँ। "
        "नयाँ पुस्ताले पनि बुझून् भनेर हरेक चरणको अर्थ बताउँछु।",
    ),
    (
        "Shastri in Karmakanda from Nepal Sanskrit University, with {years} years of practice. "
        "Most often called for {puja}. Punctual, and I bring my own books.",
        "नेपाल संस्कृत विश्वविद्यालयबाट कर्मकाण्डमा शास्त्री, {years_ne} वर्षको अनुभव। "
        "प्रायः {puja_ne}का लागि बोलाइन्छ। समयमै पुग्छु, पुस्तकहरू आफैँ ल्याउँछु।",
    ),
    (
        "From a family of priests in {city}. Short and long forms of every puja, as your day "
        "allows, without leaving out what matters.",
        "{city_ne}को पुरोहित परिवारबाट। तपाईंको समय हेरेर पूजा छोटो वा विस्तृत रूपमा गराउँछु, "
        "तर आवश्यक विधि छुटाउँदिनँ।",
    ),
    (
        "I studied the Vedas at the gurukul and have served as a priest for {years} years. "
        "I also look at the sait for weddings and bratabandha.",
        "गुरुकुलमा वेद अध्ययन गरी {years_ne} वर्षदेखि पुरोहित्याइँ गर्दै आएको छु। विवाह र "
        "व्रतबन्धको साइत पनि हेरिदिन्छु।",
    ),
    (
        "Calm, clear recitation and honest advice on samagri: buy what the rite needs, not more. "
        "{years} years in {city} and around.",
        "शान्त र स्पष्ट पाठ, सामग्रीमा इमानदार सल्लाह: विधिलाई चाहिने मात्र किन्नुहोस्। {city_ne} "
        "र वरपर {years_ne} वर्षको सेवा।",
    ),
    (
        "Temple priest in the mornings, home pujas during the day. Families come back to me for "
        "{puja} and for shraddha every year.",
        "बिहान मन्दिरमा नित्य पूजा, दिउँसो घरघरमा पूजा। {puja_ne} र वार्षिक श्राद्धका लागि "
        "परिवारहरू हरेक वर्ष सम्झनुहुन्छ।",
    ),
)
OFFERS: Final[tuple[Pair, ...]] = (
    (
        "Complete rite with explanation of each step.",
        "हरेक चरण बुझाउँदै विधिपूर्वक सम्पूर्ण पूजा।",
    ),
    (
        "Includes sankalpa, the main worship, aarati and prasad.",
        "सङ्कल्प, मूल पूजा, आरती र प्रसादसहित।",
    ),
    (
        "For the family at home; please have a clean place facing east ready.",
        "घरमा परिवारका लागि। पूर्वतर्फ फर्किएको सफा ठाउँ तयार राखिदिनुहोला।",
    ),
    (
        "Usual form. Tell me in the notes if your family keeps its own custom.",
        "चलनचल्तीको विधि। परिवारको आफ्नै कुलरीति भए टिप्पणीमा लेखिदिनुहोला।",
    ),
    (
        "With a helper when there is a homa.",
        "होम भएमा एक जना सहयोगी पण्डितसहित।",
    ),
    ("", ""),
)
NOTES: Final = (
    "", "", "", "",
    "Third floor, please call from the gate.",
    "About fifteen guests.",
    "My parents will be watching from abroad by video.",
    "We follow our family's Newar custom.",
    "Please bring the book; we have the pictures.",
    "कृपया बिहानै आइदिनुहोला।",
    "घर पहेँलो रङको हो, मन्दिरको पछाडि।",
    "हजुरआमा अशक्त हुनुहुन्छ, तल्लो तलामा गरौँ।",
    "बाटो साँघुरो छ, गाडी चोकसम्म मात्र आउँछ।",
)  # fmt: skip
CANCELLED_BY_CUSTOMER: Final = (
    "There has been a death in the family.",
    "My brother's flight was put off.",
    "We have to choose another date.",
    "The house is not finished yet.",
    "जुठो परेकाले अहिले गर्न नमिल्ने भयो।",
    "साइत अर्को हप्ता सर्‍यो।",
    "परिवारका सबै जना जुट्न पाएनन्।",
)
CANCELLED_BY_PANDIT: Final = (
    "I have fallen ill.",
    "There is mourning in my family.",
    "सुतक परेकाले आउन नसक्ने भएँ।",
    "ज्वरो आएकाले आउन सक्दिनँ।",
)
DECLINED: Final = (
    "I am out of town on that day.",
    "I have promised that morning to another family.",
    "It is too far for me that early.",
    "त्यो दिन अर्कै कार्यक्रम छ।",
    "त्यस दिन म जिल्ला बाहिर हुन्छु।",
)
REJECTION_NOTES: Final = "The photo of the certificate cannot be read. Please send it again."

CUSTOMER: Final = "customer"
PANDIT: Final = "pandit"
Line = tuple[str, str]
"""Who speaks, and what."""

TALKS: Final[dict[str, tuple[tuple[Line, ...], ...]]] = {
    "en": (
        (
            (CUSTOMER, "Namaste Pandit-ji, thank you for accepting."),
            (PANDIT, "Namaste. I will come half an hour early to prepare the place."),
            (CUSTOMER, "Shall we buy the flowers the evening before?"),
            (PANDIT, "Better in the morning, so that they stay fresh. The rest can be bought."),
            (CUSTOMER, "Good. How long will the family have to fast?"),
            (PANDIT, "Only until the aarati. Tea is fine for the elders."),
        ),
        (
            (PANDIT, "Namaste. Which gotra shall I use for the sankalpa?"),
            (CUSTOMER, "Kashyap gotra. Eight people from the house will sit for it."),
            (PANDIT, "Thank you. Please keep a kalash and a clean white cloth ready."),
            (CUSTOMER, "We have both. Your motorbike can stand inside the gate."),
        ),
        (
            (CUSTOMER, "Is everything on the samagri list really needed?"),
            (PANDIT, "The essential ones are. Dry fruits you may leave out."),
            (CUSTOMER, "Then I keep the list as it is. See you on the day."),
            (PANDIT, "Very well. I will call when I leave home."),
            (CUSTOMER, "Dhanyabad."),
        ),
        (
            (CUSTOMER, "Could we begin fifteen minutes later? My sister's bus is slow."),
            (PANDIT, "Yes, the muhurta lasts long enough."),
            (CUSTOMER, "Thank you for understanding."),
        ),
        (
            (PANDIT, "I have reached your chowk. Which house is it?"),
            (CUSTOMER, "The one with the tulsi math in front, blue gate. I am coming down."),
        ),
    ),
    "ne": (
        (
            (CUSTOMER, "नमस्ते गुरु, स्वीकार गरिदिनुभएकोमा धन्यवाद।"),
            (PANDIT, "नमस्ते। ठाउँ मिलाउन म आधा घण्टा अगाडि नै आउँछु।"),
            (CUSTOMER, "फूल अघिल्लो दिन नै किनौँ कि?"),
            (PANDIT, "बिहानै किन्नु राम्रो, ताजा हुन्छ। अरू सामान अहिले नै किने हुन्छ।"),
            (CUSTOMER, "हुन्छ। व्रत कति बेलासम्म बस्ने?"),
            (PANDIT, "आरतीसम्म मात्र। बूढापाकाले चिया खाए हुन्छ।"),
        ),
        (
            (PANDIT, "नमस्ते। सङ्कल्पका लागि गोत्र के हो?"),
            (CUSTOMER, "कश्यप गोत्र। घरका आठ जना बस्छौँ।"),
            (PANDIT, "हुन्छ। एउटा कलश र सफा सेतो कपडा तयार राख्नुहोला।"),
            (CUSTOMER, "दुवै छ। मोटरसाइकल गेटभित्रै राख्न मिल्छ।"),
        ),
        (
            (CUSTOMER, "सामग्रीको सूचीमा भएका सबै चाहिन्छ र?"),
            (PANDIT, "अनिवार्य लेखेका चाहिन्छन्। मेवा नराखे पनि हुन्छ।"),
            (CUSTOMER, "त्यसो भए सूची यस्तै राख्छु। त्यही दिन भेटौँला।"),
            (PANDIT, "हुन्छ। घरबाट निस्केपछि फोन गर्छु।"),
            (CUSTOMER, "धन्यवाद।"),
        ),
        (
            (CUSTOMER, "पन्ध्र मिनेट ढिलो सुरु गर्न मिल्ला? दिदी आउँदै हुनुहुन्छ।"),
            (PANDIT, "मिल्छ, साइत लामो छ।"),
            (CUSTOMER, "बुझिदिनुभएकोमा धन्यवाद।"),
        ),
        (
            (PANDIT, "म चोकमा आइपुगेँ। घर कुन हो?"),
            (CUSTOMER, "अगाडि तुलसीको मठ भएको, निलो गेट। म तल आउँदै छु।"),
        ),
    ),
}
THANKS: Final[dict[str, tuple[Line, ...]]] = {
    "en": (
        (CUSTOMER, "The puja was beautiful. My mother was very happy."),
        (PANDIT, "It was an honour. May the house be blessed."),
    ),
    "ne": (
        (CUSTOMER, "पूजा एकदमै राम्रो भयो। आमा निकै खुसी हुनुहुन्छ।"),
        (PANDIT, "सेवा गर्न पाएकोमा खुसी लाग्यो। घर परिवारको कल्याण होस्।"),
    ),
}
UNREAD_QUESTIONS: Final[dict[str, tuple[Line, ...]]] = {
    "en": (
        (CUSTOMER, "One more question, Pandit-ji: do you need a small table?"),
        (PANDIT, "Please have a little cow's milk ready as well."),
    ),
    "ne": (
        (CUSTOMER, "गुरु, अर्को कुरा: सानो टेबुल चाहिन्छ?"),
        (PANDIT, "अलिकति गाईको दूध पनि तयार राख्नुहोला।"),
    ),
}
COMMENTS: Final[dict[int, tuple[Pair, ...]]] = {
    5: (
        (
            "Everything was explained patiently. The children listened for two hours.",
            "सबै कुरा धैर्यपूर्वक बुझाउनुभयो। केटाकेटीले दुई घण्टासम्म सुनेर बसे।",
        ),
        (
            "On time, well prepared, beautiful recitation.",
            "समयमै आउनुभयो, तयारी पूरा थियो, पाठ कर्णप्रिय।",
        ),
        (
            "Our family will call him again for every puja.",
            "अबका सबै पूजामा हाम्रो परिवारले उहाँलाई नै बोलाउँछ।",
        ),
        (
            "He adjusted the rite to our grandmother's health with great kindness.",
            "हजुरआमाको स्वास्थ्य हेरेर निकै माया गरी विधि मिलाइदिनुभयो।",
        ),
        ("Deep knowledge and a gentle manner.", "गहिरो ज्ञान र नम्र स्वभाव।"),
    ),
    4: (
        (
            "Very good, only a little hurried at the end.",
            "धेरै राम्रो, अन्त्यमा मात्र अलि हतार भयो।",
        ),
        (
            "Knows the rite well. Came ten minutes late because of traffic.",
            "विधि राम्ररी जान्नुहुन्छ। जामका कारण दस मिनेट ढिलो आउनुभयो।",
        ),
        ("Well done. The samagri list was exact.", "राम्रो भयो। सामग्रीको सूची ठ्याक्कै मिल्यो।"),
    ),
    3: (
        (
            "The puja was fine, but I had hoped for more explanation.",
            "पूजा ठिकै भयो, तर अलि बढी बुझाइदिए हुन्थ्यो।",
        ),
        ("Good recitation, but he came late.", "पाठ राम्रो, तर ढिलो आउनुभयो।"),
    ),
    2: (
        (
            "He left before the aarati was over.",
            "आरती नसकिँदै हिँड्नुभयो।",
        ),
    ),
    1: (("He came two hours late.", "दुई घण्टा ढिलो आउनुभयो।"),),
}
