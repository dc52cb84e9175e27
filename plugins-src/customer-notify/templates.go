package main

// templates are the texts of one language. {order}, {shop} and {total} are
// filled in. A status without a message needs none: customers are not
// notified of an order being processed.
type templates struct {
	point    string // between units and cents
	greeting string
	closing  string
	messages map[string]template // by status
}

type template struct{ subject, body string }

func languages() map[string]templates {
	return map[string]templates{
		"en": {
			point:    ".",
			greeting: "Hello,",
			closing:  "Thank you for shopping at {shop}.",
			messages: map[string]template{
				"confirmed": {"Your order {order} is confirmed", "we have received your order {order} over {total} and will pack it soon."},
				"shipped":   {"Your order {order} is on its way", "your order {order} has left our warehouse."},
				"delivered": {"Your order {order} has arrived", "your order {order} has been delivered. We hope you like it."},
				"cancelled": {"Your order {order} is cancelled", "your order {order} has been cancelled. You will not be charged."},
				"refunded":  {"Your order {order} is refunded", "we have sent {total} for your order {order} back to you."},
			},
		},
		"de": {
			point:    ",",
			greeting: "Guten Tag,",
			closing:  "Vielen Dank für Ihren Einkauf bei {shop}.",
			messages: map[string]template{
				"confirmed": {"Ihre Bestellung {order} ist bestätigt",
					"wir haben Ihre Bestellung {order} über {total} erhalten und packen sie bald."},
				"shipped": {"Ihre Bestellung {order} ist unterwegs", "Ihre Bestellung {order} hat unser Lager verlassen."},
				"delivered": {"Ihre Bestellung {order} ist angekommen",
					"Ihre Bestellung {order} wurde zugestellt. Wir hoffen, sie gefällt Ihnen."},
				"cancelled": {"Ihre Bestellung {order} ist storniert",
					"Ihre Bestellung {order} wurde storniert. Es wird nichts abgebucht."},
				"refunded": {"Ihre Bestellung {order} ist erstattet",
					"wir haben Ihnen {total} für Ihre Bestellung {order} zurückgezahlt."},
			},
		},
		"fr": {
			point:    ",",
			greeting: "Bonjour,",
			closing:  "Merci de votre achat chez {shop}.",
			messages: map[string]template{
				"confirmed": {"Votre commande {order} est confirmée",
					"nous avons bien reçu votre commande {order} de {total} et la préparons."},
				"shipped": {"Votre commande {order} est en route", "votre commande {order} a quitté notre entrepôt."},
				"delivered": {"Votre commande {order} est arrivée",
					"votre commande {order} a été livrée. Nous espérons qu'elle vous plaît."},
				"cancelled": {"Votre commande {order} est annulée", "votre commande {order} a été annulée. Rien ne vous sera débité."},
				"refunded":  {"Votre commande {order} est remboursée", "nous vous avons remboursé {total} pour votre commande {order}."},
			},
		},
		"es": {
			point:    ",",
			greeting: "Hola:",
			closing:  "Gracias por comprar en {shop}.",
			messages: map[string]template{
				"confirmed": {"Su pedido {order} está confirmado",
					"hemos recibido su pedido {order} por {total} y lo prepararemos pronto."},
				"shipped":   {"Su pedido {order} está en camino", "su pedido {order} ha salido de nuestro almacén."},
				"delivered": {"Su pedido {order} ha llegado", "su pedido {order} ha sido entregado. Esperamos que le guste."},
				"cancelled": {"Su pedido {order} está cancelado", "su pedido {order} ha sido cancelado. No se le cobrará nada."},
				"refunded":  {"Su pedido {order} está reembolsado", "le hemos devuelto {total} por su pedido {order}."},
			},
		},
	}
}
