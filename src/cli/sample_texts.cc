#include "cli/sample_texts.h"

#include <array>

namespace sheaf::cli {

std::span<const std::string> sample_texts() {
  static const auto texts = std::to_array<std::string>({
      "river",
      "hi",
      "refund",
      "why?",
      "东京",
      "plumber near me",
      "python list comprehension",
      "opening hours",
      "Wetter Hamburg morgen",
      "billet train pas cher",
      "cancel my subscription",
      "black leather sofa 3 seats",
      "who wrote the first dictionary",
      "vitamin d dosage",
      "recette crêpes",
      "latest tax deadline",
      "GET /v1/models 404",
      "how tall is the tower",
      "symptoms of a cold",
      "2 bedroom flat, balcony",
      "invoice 2024-11-03",
      "How do I reset my password?",
      "best noodle soup near the harbour",
      "Why is the sky dark at night?",
      "error: cannot open shared object file",
      "red running shoes, size 42, waterproof",
      "The meeting was moved to Thursday at half past nine.",
      "A replica that stops answering is replaced before anyone notices.",
      "She planted three rows of beans behind the shed and forgot about them until August.",
      "The warranty covers the battery for two years but not the charger that came with it.",
      "Heavy rain closed the coastal road between the two villages for most of the afternoon.",
      "Prices of copper rose by four per cent after the mine announced that it would close in "
      "spring.",
      "To make the dough, mix flour, water and a pinch of salt, let it rest for an hour and "
      "roll it out thinly.",
      "The committee found no evidence that the bridge had been inspected in the year before "
      "it collapsed.",
      "Light takes a little more than eight minutes to travel from the sun to the earth.",
      "Patients who walked for half an hour a day slept better and reported less pain in their "
      "knees after six weeks.",
      "The tenant may end this agreement in writing with a notice of three months to the end "
      "of a quarter.",
      "def mean(values):\n    return sum(values) / len(values) if values else 0.0",
      "SELECT name, count(*) FROM orders JOIN customers ON customers.id = orders.customer "
      "GROUP BY name HAVING count(*) > 3;",
      "for (size_t i = 0; i < n; ++i) total += weights[i] * x[i];  // no bounds are checked "
      "here",
      "{\"id\": 7, \"status\": \"shipped\", \"items\": [{\"sku\": \"A-113\", \"quantity\": 2}]}",
      "https://example.org/docs/install?lang=en#requirements",
      "Der Zug nach Hamburg hat heute wegen eines Schadens an der Oberleitung etwa vierzig "
      "Minuten Verspätung.",
      "La biblioteca municipal abre de lunes a viernes y presta hasta cinco libros a la vez "
      "durante tres semanas.",
      "Le marché se tient chaque samedi matin sur la place, devant l'église, de sept heures à "
      "midi.",
      "O museu guarda mais de duas mil fotografias da construção da ponte.",
      "Pociąg odjeżdża z peronu trzeciego za dziesięć minut.",
      "Завтра в городе ожидается сильный ветер и мокрый снег, водителей просят быть осторожнее.",
      "图书馆周一闭馆，其他日子从上午九点开到晚上八点。",
      "会議は来週の火曜日に延期されました。資料は前日までに送ってください。",
      "내일 아침에는 안개가 짙게 끼겠으니 운전에 주의하시기 바랍니다.",
      "يفتح المتحف أبوابه للزوار مجانا في أول يوم أحد من كل شهر.",
      "नदी का पानी इस साल सामान्य से दो मीटर ऊपर पहुँच गया।",
      "😀 thanks!!! see you tmrw @ 8 :)",
      "The first lighthouse on the island was a wooden tower with a basket of burning coal at "
      "its top. It burned down twice. The third one, built of stone, has stood for almost two "
      "hundred years, and its lamp, now electric, can be seen from thirty kilometres away on a "
      "clear night. The keeper's house beside it is rented to visitors in summer; in winter "
      "only the birds and a man who reads the gauges come by.",
      "An index that keeps only one copy of each document is simple to reason about and hard "
      "to trust: when the machine that holds it goes away, so does the search. Two copies "
      "double the cost of every write. Most teams end up with one copy of what can be made "
      "again from the originals, and two of what cannot, and they write down which is which "
      "before the first outage rather than after it.",
      "Dear customer, we have received your complaint about order 58812 and we are sorry that "
      "the lamp arrived with a broken shade. A new shade leaves our warehouse today and should "
      "reach you within three working days. You need not return the broken one. If you would "
      "rather have your money back, please answer this message with the number of your order "
      "and we will see to it at once.",
      "In the experiment each of the twelve plots was divided into four strips. One strip got "
      "no fertilizer, the second compost, the third a mineral fertilizer, and the last one "
      "both. Yields were weighed every week from May to September. The compost alone raised "
      "them by eleven per cent over the untreated strips, the mineral fertilizer by nineteen, "
      "both together by twenty-two. The difference between the last two is within the error of "
      "the measurement, so that nothing is gained by paying for both, at least on soil as "
      "heavy as this and in a year as wet as that one was. Whether the effect of the compost "
      "lasts longer was not examined; earlier work suggests that it does, and that after three "
      "years the order of the strips is the reverse of what a single summer shows.",
      "Section 4. Duties of the contractor. The contractor keeps a log of all work on the "
      "installation, in which the date, the persons present, the parts replaced and the "
      "readings before and after are entered on the same day. The client may see the log at "
      "any time during office hours. Parts that are replaced remain the property of the client "
      "and are kept for at least four weeks. Where a fault could endanger persons, the "
      "contractor switches the installation off and informs the client at once by telephone "
      "and within one day in writing; the installation may be switched on again only when both "
      "have signed that the fault is mended. Section 5. Payment. Invoices are due within "
      "thirty days of receipt. If an invoice is disputed, the undisputed part is paid in time, "
      "and the parties name an expert for the rest, whose costs are borne by the one who turns "
      "out to be wrong.",
      "It had not occurred to anyone in the office to ask where the numbers came from. They "
      "arrived every Monday in a grey envelope, forty pages of them, were typed into the "
      "ledger by noon and had become the truth by one o'clock. When old Brandt retired and the "
      "envelopes stopped, it took until Wednesday for someone to notice, and until Friday for "
      "someone to say so. By then three ships had been loaded according to a forecast that "
      "nobody had made. The director, a calm man, had the drawers of Brandt's desk opened. "
      "There were four sharpened pencils in them, a bag of liquorice, and a small brass die "
      "with the sides worn smooth, so that only by holding it against the window could one "
      "still make out the dots.",
  });
  return texts;
}

std::string sample_query() { return "What happened to the lamp that was broken on its way?"; }

}  // namespace sheaf::cli
