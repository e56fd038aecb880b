"""Names of the people of the demo town, in Latin and Devanagari letters."""

from __future__ import annotations

from typing import Final

Name = tuple[str, str]
"""A name in Latin letters and in Devanagari."""

PANDIT_GIVEN: Final[tuple[Name, ...]] = (
    ("Ram Prasad", "राम प्रसाद"), ("Hari Prasad", "हरि प्रसाद"), ("Shiva Raj", "शिव राज"),
    ("Krishna Prasad", "कृष्ण प्रसाद"), ("Bishnu Prasad", "विष्णु प्रसाद"),
    ("Ganesh Raj", "गणेश राज"), ("Dilli Ram", "डिल्ली राम"), ("Keshav Raj", "केशव राज"),
    ("Madhav Prasad", "माधव प्रसाद"), ("Narayan Prasad", "नारायण प्रसाद"),
    ("Govinda Raj", "गोविन्द राज"), ("Mukunda", "मुकुन्द"), ("Rishi Ram", "ऋषि राम"),
    ("Tika Ram", "टीका राम"), ("Yadav Prasad", "यादव प्रसाद"), ("Dev Raj", "देव राज"),
    ("Lok Nath", "लोक नाथ"), ("Bhola Nath", "भोला नाथ"), ("Rudra Prasad", "रुद्र प्रसाद"),
    ("Achyut", "अच्युत"), ("Damodar", "दामोदर"), ("Purushottam", "पुरुषोत्तम"),
    ("Chudamani", "चूडामणि"), ("Som Nath", "सोम नाथ"), ("Guru Prasad", "गुरु प्रसाद"),
    ("Bharat Raj", "भरत राज"), ("Ananta", "अनन्त"), ("Basudev", "वासुदेव"),
)  # fmt: skip
PANDIT_FAMILY: Final[tuple[Name, ...]] = (
    ("Acharya", "आचार्य"), ("Adhikari", "अधिकारी"), ("Aryal", "अर्याल"),
    ("Bhattarai", "भट्टराई"), ("Dahal", "दाहाल"), ("Devkota", "देवकोटा"), ("Dhakal", "ढकाल"),
    ("Dhungana", "ढुङ्गाना"), ("Gautam", "गौतम"), ("Ghimire", "घिमिरे"), ("Joshi", "जोशी"),
    ("Khanal", "खनाल"), ("Koirala", "कोइराला"), ("Lamichhane", "लामिछाने"),
    ("Mainali", "मैनाली"), ("Neupane", "न्यौपाने"), ("Ojha", "ओझा"), ("Panta", "पन्त"),
    ("Paudel", "पौडेल"), ("Pokharel", "पोखरेल"), ("Regmi", "रेग्मी"), ("Rimal", "रिमाल"),
    ("Sapkota", "सापकोटा"), ("Subedi", "सुवेदी"), ("Upadhyaya", "उपाध्याय"), ("Wagle", "वाग्ले"),
)  # fmt: skip
NEWAR_PANDIT_FAMILY: Final[tuple[Name, ...]] = (("Rajopadhyaya", "राजोपाध्याय"),)
MAITHIL_PANDIT_FAMILY: Final[tuple[Name, ...]] = (
    ("Jha", "झा"), ("Mishra", "मिश्र"), ("Pathak", "पाठक"), ("Thakur", "ठाकुर"),
)  # fmt: skip
GIVEN: Final[tuple[Name, ...]] = (
    ("Sita", "सीता"), ("Gita", "गीता"), ("Sarita", "सरिता"), ("Sunita", "सुनिता"),
    ("Anita", "अनिता"), ("Puja", "पूजा"), ("Kabita", "कविता"), ("Laxmi", "लक्ष्मी"),
    ("Saraswati", "सरस्वती"), ("Bimala", "विमला"), ("Kamala", "कमला"), ("Nirmala", "निर्मला"),
    ("Rekha", "रेखा"), ("Srijana", "सिर्जना"), ("Asmita", "अस्मिता"), ("Prakriti", "प्रकृति"),
    ("Manisha", "मनिषा"), ("Sabina", "सबिना"), ("Roshani", "रोशनी"), ("Deepa", "दीपा"),
    ("Binod", "विनोद"), ("Rajesh", "राजेश"), ("Suresh", "सुरेश"), ("Ramesh", "रमेश"),
    ("Prakash", "प्रकाश"), ("Santosh", "सन्तोष"), ("Bikash", "विकास"), ("Dipak", "दीपक"),
    ("Nabin", "नवीन"), ("Sandip", "सन्दीप"), ("Anil", "अनिल"), ("Sunil", "सुनील"),
    ("Kiran", "किरण"), ("Manoj", "मनोज"), ("Arjun", "अर्जुन"), ("Gopal", "गोपाल"),
    ("Mohan", "मोहन"), ("Umesh", "उमेश"), ("Pradip", "प्रदीप"), ("Bishal", "विशाल"),
)  # fmt: skip
FAMILY: Final[tuple[Name, ...]] = (
    ("Sharma", "शर्मा"), ("Shrestha", "श्रेष्ठ"), ("Maharjan", "महर्जन"), ("Thapa", "थापा"),
    ("Karki", "कार्की"), ("Basnet", "बस्नेत"), ("Khadka", "खड्का"), ("Adhikari", "अधिकारी"),
    ("Bhandari", "भण्डारी"), ("Pradhan", "प्रधान"), ("Joshi", "जोशी"), ("Rana", "राना"),
    ("Bista", "विष्ट"), ("Budhathoki", "बुढाथोकी"), ("Rawal", "रावल"), ("Oli", "ओली"),
    ("Gurung", "गुरुङ"), ("Rai", "राई"), ("Magar", "मगर"), ("Poudel", "पौडेल"),
    ("Gautam", "गौतम"), ("Dangol", "डङ्गोल"), ("Amatya", "अमात्य"), ("Shahi", "शाही"),
)  # fmt: skip
MAITHIL_FAMILY: Final[tuple[Name, ...]] = (
    ("Yadav", "यादव"), ("Sah", "साह"), ("Gupta", "गुप्ता"), ("Mandal", "मण्डल"),
    ("Jha", "झा"), ("Singh", "सिंह"), ("Chaudhary", "चौधरी"), ("Karn", "कर्ण"),
)  # fmt: skip
