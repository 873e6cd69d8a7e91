"""Which clauses reassure, in every language: each sentence here is one a describer may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.preferences import Language
from engine.language.pack import languages
from engine.language.reassurance import reassures, reassuring_words

REASSURING: dict[Language, str] = {
    "en": """
        There are no cars.
        There are no cars on the road.
        It is safe to cross.
        It's safe to cross the street now.
        Nothing is in the way.
        There is nothing in front of you.
        There isn't anything ahead.
        There aren’t any people.
        Nobody is there.
        No one is on the sidewalk.
        No obstacles ahead.
        I see no obstacles.
        The way is clear.
        Way clear.
        The path ahead is clear.
        The road in front of the shop is now completely empty.
        An empty street with buildings on both sides.
        A wide empty road.
        The street is empty.
        The road is deserted.
        The sidewalk looks clear.
        A clear path.
        A free path leads forward.
        The path is free of obstacles.
        The street is free from traffic.
        All clear.
        It is all clear ahead.
        Everything is clear.
        Clear ahead.
        The crosswalk is unobstructed.
        The corridor is passable.
        You can go.
        You can walk ahead.
        You can now safely cross.
        You may cross the road.
        You should continue walking.
        Go ahead.
        Go.
        Walk ahead.
        Walk straight.
        Keep going.
        Cross now.
        Feel free to walk.
        Proceed with confidence, there is plenty of space.
        A safe crossing.
        This is a safe place.
        The stairs are safe.
        You are safe here.
        The area is safe.
        Without any vehicles in sight.
        A street without cars.
        Zero cars on the street.
        The traffic has stopped.
        There is enough room to pass.
        It is okay to cross.
        Don't worry.
        None of the cars are near.
        There is not a single car.
        The cars are gone.
        The coast is clear.
        A man is walking and there are no cars.
        The road ahead looks good.
        Cars are far away.
        Way clear. A bus.
        NO CARS HERE
        Only trees are ahead.
        Few cars are around.
        The street lacks cars.
        The bus has left.
        The car has driven off.
        The obstacle was removed.
        Traffic is light.
        There is little danger.
        Traffic came to a halt.
        The cars stopped to let you cross.
        The road appears open.
        Your path is unimpeded.
        Ahead of you is open space.
        There is ample room ahead.
        Head straight.
        Just walk.
        Move along.
        Cross whenever you like.
        It looks like you can make it across.
        A pedestrian signal shows walk.
        Everything is under control.
    """,
    "es": """
        No hay coches.
        No hay ningún coche en la calle.
        No hay nadie.
        No se ve ningún obstáculo.
        No viene nada.
        Nada en el camino.
        Nadie está delante.
        Ningún vehículo cerca.
        Ni coches ni personas.
        Es seguro cruzar.
        La calle es segura.
        Un paso seguro.
        Está a salvo.
        El camino está libre.
        El camino está despejado.
        El camino delante de ti está totalmente libre.
        Camino libre.
        Vía libre.
        Paso libre.
        Todo despejado.
        Todo está despejado.
        Todo en orden.
        La calle está vacía.
        Una calle vacía con edificios.
        Una calle desierta.
        La calle al lado de la tienda está vacía.
        La acera está libre de obstáculos.
        Una acera sin obstáculos.
        Sin peligro.
        Puede cruzar.
        Puedes cruzar ahora.
        Puede seguir adelante.
        Ya puedes pasar.
        Se puede pasar.
        Podría avanzar sin problemas.
        Adelante.
        Siga adelante.
        Sigue caminando.
        Cruza ahora.
        Cruce la calle.
        Camina recto.
        Tiene paso.
        El tráfico se ha detenido.
        Hay espacio para pasar.
        Está fuera de peligro.
        Cero coches.
        Está libre el camino.
        El semáforo permite cruzar.
        El pasillo es transitable.
        El coche se ha ido.
        No te preocupes.
        Un hombre camina y no hay coches.
        Via libre, puede avanzar.
        NO HAY COCHES
        Solo hay árboles delante.
        Pocos coches circulan.
        La calle carece de coches.
        Apenas circula tráfico.
        Los coches están ausentes.
        El autobús se fue.
        Quitaron el obstáculo.
        Hay poco tráfico.
        Hay poco peligro.
        El tráfico se detuvo.
        Los coches han frenado para dejarle pasar.
        Los coches están esperando a que cruce.
        Hay mucho espacio delante.
        Hay sitio de sobra.
        Anda recto.
        Da un paso adelante.
        Avanzad.
        Cruce cuando quiera.
        Puedes atravesar la calle.
        El semáforo peatonal está en verde.
        Es el momento de cruzar.
        Todo bajo control.
    """,
}
KEPT: dict[Language, str] = {
    "en": """
        A safe is on the table.
        The safe is open.
        A metal safe stands in the corner.
        There is a safe behind the desk.
        A no parking sign is on the left.
        A no entry sign.
        A window with clear glass.
        A clear glass door is ahead.
        Clear blue sky above the buildings.
        The sky is clear.
        An empty bench.
        An empty bench is on the left.
        An empty bench ahead.
        The chair is empty.
        A street with an empty bench and a tree.
        An empty glass is on a table.
        A man with no shirt is running.
        A dog that is not on a leash.
        A free newspaper stand.
        A man is walking.
        A man is walking ahead of you.
        Two people are crossing the street.
        A woman crosses the road.
        A car is parked on the right.
        A car is coming.
        A red bus is on the street.
        A person is standing next to a car.
        A traffic light is red.
        A crosswalk with a person.
        A walkway leads to a door.
        The door on the left is open.
        A man can be seen near the door.
        You are on a street.
        A person is running across the road.
        The path is blocked by a bin.
        The road is busy.
        A go-kart is on the track.
        A sign with a cross on a church.
        A car on a quiet street.
        A street with a few cars.
        A person is just ahead.
        A missing manhole cover ahead.
        A step forward leads down.
        Two cars wait at the light.
        A car turns right.
        A cyclist passes on the left.
        A train leaves the station.
    """,
    "es": """
        Un hombre camina por la acera.
        Un hombre cruza la calle.
        Cruza un hombre con un perro.
        Pasa un coche.
        Un coche adelante.
        Hay un coche delante.
        Hay un banco vacío.
        Un banco vacío en la acera.
        Una silla vacía a la izquierda.
        Un vaso vacío está en la mesa.
        Una señal de no aparcar.
        Un cartel de prohibido el paso.
        Un hombre sin casco va en bici.
        Un perro sin correa.
        El cielo está despejado.
        Una mesa al aire libre.
        Un hombre solo en la acera.
        Falta una tapa en la acera.
        Unos pocos coches en la calle.
        Un coche gira a la derecha.
        Un coche rojo sale del garaje.
        Dos coches esperan en el semáforo.
        Dos personas esperan en la parada.
        Una mujer lleva un bolso.
        El semáforo está en rojo.
        Un paso de peatones con una persona.
        La calle está llena de coches.
        Un autobús viene por la derecha.
        Un seguro en la puerta.
        Estás en una calle.
    """,
}


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def cases(table: dict[Language, str]) -> list[tuple[Language, str]]:
    return [(language, line) for language, text in table.items() for line in lines(text)]


@pytest.mark.parametrize(("language", "text"), cases(REASSURING))
def test_these_reassure(language: Language, text: str) -> None:
    assert reassures(text, language)


@pytest.mark.parametrize(("language", "text"), cases(KEPT))
def test_these_do_not(language: Language, text: str) -> None:
    assert not reassures(text, language)


def test_every_language_has_enough_of_both() -> None:
    for language in languages():
        assert len(lines(REASSURING[language])) >= 40
        assert len(lines(KEPT[language])) >= 20
        assert reassuring_words(language).phrases


@pytest.mark.parametrize("language", languages())
@given(data=st.data(), before=st.sampled_from(["", "A man waits and ", "¡", "Well, "]))
def test_capitals_spaces_and_marks_do_not_hide_it(
    language: Language, data: st.DataObject, before: str
) -> None:
    text = data.draw(st.sampled_from(lines(REASSURING[language])))
    dressed = data.draw(
        st.sampled_from(
            [text.upper(), text.replace(" ", "  "), text.rstrip(".") + "!", f'"{text}"']
        )
    )
    assert reassures(dressed, language)
    if not before.isalpha():  # an opening word may turn a command into a statement
        assert reassures(f"{text} {dressed}", language)


@pytest.mark.parametrize("language", languages())
@given(text=st.text(max_size=60))
def test_any_text_is_judged(language: Language, text: str) -> None:
    assert reassures(text, language) in (True, False)
