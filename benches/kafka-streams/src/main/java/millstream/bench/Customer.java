package millstream.bench;

/** Where a client lives: a row of the table of the joins. */
public record Customer(String name, String city) {
    String gets(Invoice invoice) {
        return city + " " + invoice.number();
    }
}
