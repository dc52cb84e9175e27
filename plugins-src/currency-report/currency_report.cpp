// Currency-report writes the amounts of an order with the decimals of its currency:
// 1999 is 19.99 EUR, 1999 JPY or 1.999 KWD.
//
// An ordinary program: it reads an event on standard input, writes its answer to
// standard output, what it notices to standard error, and exits with 0, or with 1
// if the event is not about an order.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace {

// A JSON value. Numbers are whole: amounts are.
struct value {
    enum kind { null, boolean, number, string, array, object } is = null;
    long long whole = 0;
    std::string text;
    std::vector<value> items;
    std::map<std::string, value> members;

    const value &operator[](const char *name) const {
        static const value none;
        auto found = members.find(name);
        return found == members.end() ? none : found->second;
    }
};

[[noreturn]] void refuse(const char *why) {
    std::fprintf(stderr, "%s\n", why);
    std::exit(1);
}

// Reads JSON by recursive descent.
class parser {
  public:
    explicit parser(std::string_view text) : unread_(text) {}

    value document() {
        value v = next(0);
        blanks();
        if (!unread_.empty())
            refuse("there is something after the event");
        return v;
    }

  private:
    std::string_view unread_;

    void blanks() {
        while (!unread_.empty() && std::string_view(" \t\r\n").find(unread_.front()) != std::string_view::npos)
            unread_.remove_prefix(1);
    }

    bool take(char c) {
        blanks();
        if (unread_.empty() || unread_.front() != c)
            return false;
        unread_.remove_prefix(1);
        return true;
    }

    void expect(char c) {
        if (!take(c))
            refuse("the event is not JSON");
    }

    value next(int depth) {
        value v;
        if (depth > 100)
            refuse("the event is too deep");
        if (take('{')) {
            v.is = value::object;
            if (take('}'))
                return v;
            do {
                blanks();
                expect('"');
                std::string name = characters();
                expect(':');
                v.members[name] = next(depth + 1);
            } while (take(','));
            expect('}');
        } else if (take('[')) {
            v.is = value::array;
            if (take(']'))
                return v;
            do
                v.items.push_back(next(depth + 1));
            while (take(','));
            expect(']');
        } else if (take('"')) {
            v.is = value::string;
            v.text = characters();
        } else {
            word(v);
        }
        return v;
    }

    // null, true, false or a number.
    void word(value &v) {
        size_t n = unread_.find_first_of(",]} \t\r\n");
        v.text = std::string(unread_.substr(0, n));
        unread_.remove_prefix(v.text.size());
        if (v.text.empty())
            refuse("the event is not JSON");
        char *end;
        v.whole = std::strtoll(v.text.c_str(), &end, 10);
        v.is = *end == 0 ? value::number : v.text == "null" ? value::null : value::boolean;
    }

    // The characters of a string, after its first quote.
    std::string characters() {
        std::string out;
        for (;;) {
            if (unread_.empty())
                refuse("the event is not JSON");
            char c = unread_.front();
            unread_.remove_prefix(1);
            if (c == '"')
                return out;
            if (c == '\\' && !unread_.empty()) { // an escape is copied: what is written out is JSON, too
                out += c;
                c = unread_.front();
                unread_.remove_prefix(1);
            }
            out += c;
        }
    }
};

// How many decimals a currency has (ISO 4217).
int decimals(const std::string &currency) {
    static const char *none[] = {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"};
    static const char *three[] = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"};
    for (const char *c : none)
        if (currency == c)
            return 0;
    for (const char *c : three)
        if (currency == c)
            return 3;
    return 2;
}

// An amount of the currency's smallest unit, such as "19.99 EUR".
std::string amount(long long units, const std::string &currency) {
    std::string digits = std::to_string(units < 0 ? -units : units);
    size_t point = static_cast<size_t>(decimals(currency));
    if (digits.size() <= point)
        digits.insert(0, point + 1 - digits.size(), '0');
    if (point > 0)
        digits.insert(digits.size() - point, ".");
    return (units < 0 ? "-" : "") + digits + " " + currency;
}

std::string input() {
    std::string all;
    char part[4096];
    while (size_t n = std::fread(part, 1, sizeof part, stdin))
        all.append(part, n);
    return all;
}

} // namespace

int main() {
    std::string text = input();
    value event = parser(text).document();
    const value &order = event["data"];
    const std::string &currency = order["currency"].text;
    if (order["items"].is != value::array || order["total_cents"].is != value::number || currency.size() != 3)
        refuse("the event is not about an order");
    std::string lines;
    long long sum = 0;
    for (const value &item : order["items"].items) {
        long long units = item["quantity"].whole * item["unit_price_cents"].whole;
        sum += units;
        lines += (lines.empty() ? "" : ",");
        lines += "{\"sku\":\"" + item["sku"].text + "\",\"amount\":\"" + amount(units, currency) + "\"}";
    }
    if (sum != order["total_cents"].whole)
        std::fprintf(stderr, "the items are %s, the total is %s\n", amount(sum, currency).c_str(),
                     amount(order["total_cents"].whole, currency).c_str());
    std::printf("{\"order\":\"%s\",\"total\":\"%s\",\"lines\":[%s]}\n", order["order_id"].text.c_str(),
                amount(order["total_cents"].whole, currency).c_str(), lines.c_str());
    return 0;
}
